import json
import shutil

import pytest

from tunewright.job.errors import BaseModelError
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.model.tokenizer import check_tokenizer, choose_length, length_limit, padding_of


@pytest.fixture
def spoil(tiny_tokenizer, tmp_path):
    """spoil(normalizer=...) gives the path of the tiny tokenizer with other parts."""

    def make(**parts):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(json.loads((tiny_tokenizer / "tokenizer.json").read_text()) | parts))
        return path

    return make


def refusal(path, tmp_path, **config):
    with pytest.raises(BaseModelError) as caught:
        check_tokenizer(path, {"vocab_size": 1200, "type_vocab_size": 2} | config, "tiny", tmp_path / "cache")
    return str(caught.value)


def test_a_part_that_is_not_on_the_list_is_refused(spoil, tmp_path):
    assert refusal(spoil(decoder={"type": "Custom"}), tmp_path).startswith(
        "base model 'tiny': tokenizer.json has the decoder 'Custom'; allowed: BPEDecoder, "
    )


def test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(tiny_tokenizer, tmp_path):
    said = refusal(tiny_tokenizer / "tokenizer.json", tmp_path, vocab_size=1000)
    assert said.startswith("base model 'tiny': tokenizer.json gives ")
    assert said.endswith(
        "but the model's vocabulary has 1,000 entries (config.json, vocab_size): they do not belong together"
    )


def test_ids_that_only_the_post_processor_makes_are_refused(spoil, tmp_path):
    path = spoil(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 9_999], "cls": ["[CLS]", 2]})
    assert refusal(path, tmp_path) == (
        "base model 'tiny': tokenizer.json makes the id 9,999 of a text, but the model's vocabulary has 1,200 entries "
        "(config.json, vocab_size): they do not belong together"
    )


def template(pieces, tokens=()):
    given = [{"SpecialToken": {"id": "[CLS]", "type_id": kind}} for kind in tokens]
    sequences = [{"Sequence": {"id": name, "type_id": kind}} for name, kind in pieces]
    special = {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}
    single = [*given, sequences[0]]
    return {"type": "TemplateProcessing", "single": single, "pair": [*given, *sequences], "special_tokens": special}


def test_types_that_the_model_does_not_know_are_refused(spoil, tmp_path):
    path = spoil(post_processor=template([("A", 0), ("B", 200)]))
    assert refusal(path, tmp_path) == (
        "base model 'tiny': tokenizer.json gives the type 200 to a text, but the model knows 2 types "
        "(config.json, type_vocab_size): they do not belong together"
    )
    for types in (1, None, 256):
        assert refusal(path, tmp_path, type_vocab_size=types) == (
            "base model 'tiny': tokenizer.json gives the type 200 to a text; at most 128 types are allowed"
        )


def test_special_tokens_that_fill_a_row_are_refused(spoil, tmp_path):
    path = spoil(post_processor=template([("A", 0), ("B", 0)], tokens=[0] * 300))
    assert refusal(path, tmp_path, max_position_embeddings=300, model_type="bert") == (
        "base model 'tiny': tokenizer.json puts 300 special tokens around a text, but the model reads 300 tokens: "
        "they do not belong together"
    )
    check_tokenizer(path, {"max_position_embeddings": 301, "model_type": "bert"}, "tiny", tmp_path / "cache")


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
