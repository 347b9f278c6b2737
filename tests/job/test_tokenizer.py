import json
import shutil

import pytest

from job.base_model import fetch_base_model
from job.errors import BaseModelError
from job.tokenizer import check_tokenizer, check_vocabulary, choose_length, length_limit, padding_of

REPLACE = {"type": "Replace", "pattern": {"String": "a"}, "content": "aaaa"}


@pytest.fixture
def spoil(tiny_tokenizer, tmp_path):
    """spoil(normalizer=...) gives the path of the tiny tokenizer with other parts."""

    def make(**parts):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(json.loads((tiny_tokenizer / "tokenizer.json").read_text()) | parts))
        return path

    return make


def refusal(path):
    with pytest.raises(BaseModelError) as caught:
        check_tokenizer(path, "tiny")
    return str(caught.value)


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("normalizer", "BertNormalizer, ByteLevel, Lowercase"),
        ("pre_tokenizer", "BertPreTokenizer, ByteLevel, CharDelimiterSplit"),
        ("post_processor", "BertProcessing, ByteLevel, RobertaProcessing"),
        ("model", "BPE, Unigram, WordLevel, WordPiece"),
    ],
)
def test_a_part_that_is_not_on_the_list_is_refused(spoil, part, allowed):
    said = refusal(spoil(**{part: {"type": "Custom"}}))
    assert said.startswith(f"base model 'tiny': tokenizer.json has the {part} 'Custom'; allowed: {allowed}")


@pytest.mark.parametrize("inner", [{"type": "Custom"}, "Custom", 7, None])
def test_a_part_inside_a_sequence_is_looked_at_too(spoil, inner):
    nested = {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [inner]}]}
    assert "tokenizer.json has the normalizer" in refusal(spoil(normalizer=nested))


def test_a_sequence_that_is_no_list_is_refused(spoil):
    assert "has the normalizer None; allowed" in refusal(spoil(normalizer={"type": "Sequence", "normalizers": 5}))


def test_deep_nesting_is_read_without_recursion(spoil):
    nested = {"type": "Custom"}
    for _ in range(300):
        nested = {"type": "Sequence", "normalizers": [nested]}
    assert "has the normalizer 'Custom'" in refusal(spoil(normalizer=nested))


def test_rules_that_together_grow_a_text_are_refused(spoil):
    assert refusal(spoil(normalizer={"type": "Sequence", "normalizers": [REPLACE] * 3})) == (
        "base model 'tiny': the rules (Replace, Prepend) of tokenizer.json can make a text 64 times as long; "
        "at most 16 times is allowed"
    )


def test_rules_that_grow_a_text_a_little_are_allowed(spoil):
    check_tokenizer(spoil(normalizer={"type": "Sequence", "normalizers": [REPLACE] * 2}), "tiny")


def test_padding_without_bound_is_refused(spoil):
    padding = {"strategy": {"Fixed": 10**8}}
    assert refusal(spoil(padding=padding)) == (
        "base model 'tiny': tokenizer.json pads every text to 100,000,000 tokens; at most 16,384 are allowed"
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\xff", "is not JSON"),
        (b"[1]", "holds a list, not an object"),
        (b" " * (64 * 2**20 + 1), "is over 67,108,864 bytes"),
    ],
)
def test_a_file_that_is_no_json_object_of_ordinary_size_is_refused(write, data, sentence):
    assert refusal(write("tokenizer.json", data)).startswith(f"base model 'tiny': tokenizer.json {sentence}")


def test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(tiny_tokenizer):
    with pytest.raises(BaseModelError) as caught:
        check_vocabulary(tiny_tokenizer / "tokenizer.json", {"vocab_size": 1000}, "tiny")
    assert str(caught.value).startswith("base model 'tiny': tokenizer.json gives ")
    assert str(caught.value).endswith(
        "but the model's vocabulary has 1,000 entries (config.json, vocab_size): they do not belong together"
    )


def test_a_tokenizer_that_the_library_refuses_is_named(spoil, tiny_base, registry, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    shutil.copyfile(spoil(model={"type": "WordPiece"}), folder / "tokenizer.json")
    with pytest.raises(BaseModelError, match="is not a tokenizer this program can read"):
        fetch_base_model(str(folder), registry)


@pytest.fixture
def tokenizer_folder(tiny_tokenizer, tmp_path):
    """tokenizer_folder(pad_token=...) gives a folder whose tokenizer_config.json holds just that."""

    def make(**config):
        folder = shutil.copytree(tiny_tokenizer, tmp_path / "folder")
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        return folder

    return make


@pytest.mark.parametrize("token", ["[MASK]", {"content": "[MASK]"}])
def test_the_padding_id_is_the_one_the_tokenizer_names(tokenizer_folder, token):
    assert padding_of(tokenizer_folder(pad_token=token), {"pad_token_id": 1}).id == 4


@pytest.mark.parametrize(("stated", "used"), [(3, 3), (-1, 0), (None, 0), (5000, 0)])
def test_a_padding_id_of_the_configuration_is_used_where_the_model_has_it(tokenizer_folder, stated, used):
    assert padding_of(tokenizer_folder(), {"pad_token_id": stated, "vocab_size": 1200}).id == used


@pytest.mark.parametrize(
    ("kind", "stated", "limit"),
    [("bert", 10**30, 512), ("roberta", 10**30, 510), ("mpnet", None, 510), ("camembert", 128, 128), ("bert", 4, 4)],
)
def test_the_limit_is_the_smaller_of_tokenizer_and_position_table(tokenizer_folder, kind, stated, limit):
    folder = tokenizer_folder(model_max_length=stated)
    assert length_limit(folder, {"model_type": kind, "max_position_embeddings": 512}) == limit


@pytest.mark.parametrize(
    ("asked", "limit", "length"), [(None, 512, 256), (None, 64, 64), (None, None, 256), (400, 512, 400)]
)
def test_the_length_is_as_asked_or_what_most_texts_need(asked, limit, length):
    assert choose_length(asked, limit, "tiny") == length


def test_a_length_over_the_limit_of_the_model_is_refused():
    with pytest.raises(BaseModelError) as caught:
        choose_length(600, 512, "tiny")
    assert str(caught.value) == "train.max_length is 600, but base model 'tiny' reads at most 512 tokens"
