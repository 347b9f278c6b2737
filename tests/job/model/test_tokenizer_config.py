"""The tokens of a base model are those of transformers, whatever its tokenizer_config.json and its class change."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models
from transformers import CONFIG_MAPPING

from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.model.tokenizer_config import applied_tokenizer
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.text.cleaning import Cleaning, clean
from tunewright.serving.text.encoding import Encoder, Padding

TOKENIZERS = Path(__file__).parent / "tokenizers"
TEXTS = json.loads((TOKENIZERS / "texts.json").read_text())
RECORDED = json.loads((TOKENIZERS / "recorded.json").read_text())
"""What transformers 4.57 made of the texts (write.py): its versions are what these settings were written for."""
FIRST = list({case["tokenizer"]: case for case in reversed(RECORDED) if not case["change"]}.values())
"""A case of each tokenizer, whose base is fetched whole: a trial of its tokenizer takes a second."""


@pytest.fixture
def word_pieces():
    """A cased WordPiece tokenizer, as BERT's kin have."""
    return loaded("word_pieces")


@pytest.fixture
def pieces():
    """A Unigram tokenizer, as XLM-RoBERTa, ALBERT and T5 have."""
    return loaded("pieces")


def loaded(name):
    """A tokenizer, and the names of its special tokens."""
    tokens = {"pad_token", "unk_token", "cls_token", "sep_token", "mask_token", "bos_token", "eos_token"}
    said = next(case["said"] for case in RECORDED if case["tokenizer"] == name)
    return Tokenizer.from_file(str(TOKENIZERS / f"{name}.json")), {key: said[key] for key in said if key in tokens}


def write_base(folder, tokenizer, kind, said):
    """A folder that looks like a base model; nobody loads its weights here."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    config = CONFIG_MAPPING[kind](vocab_size=tokenizer.get_vocab_size())
    (folder / "config.json").write_text(config.to_json_string(use_diff=True))
    save_file({}, folder / "model.safetensors", metadata={"format": "pt"})


def fetched(folder, tmp_path):
    return fetch_base_model(str(folder), RegistrySettings(uri=str(tmp_path / "r"), cache=tmp_path / "cache"))


def applied(folder, tmp_path):
    """The file of the tokenizer alone, which is found sooner."""
    config = json.loads((folder / "config.json").read_text())
    content = applied_tokenizer(folder, config) or (folder / "tokenizer.json").read_bytes()
    (tmp_path / "applied.json").write_bytes(content)
    return tmp_path / "applied.json"


@pytest.mark.parametrize(
    "case",
    RECORDED,
    ids=lambda case: "-".join([case["kind"], case["said"].get("tokenizer_class", ""), *case["change"]]),
)
def test_the_tokens_are_those_of_transformers(tmp_path, case):
    tokenizer, _ = loaded(case["tokenizer"])
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, tokenizer, case["kind"], case["said"])
    changed = json.loads((base / "tokenizer.json").read_text()) | case["change"]
    (base / "tokenizer.json").write_text(json.dumps(changed))
    path = fetched(base, tmp_path).tokenizer if case in FIRST else applied(base, tmp_path)
    ours = Encoder(path, max_length=32, padding=Padding(id=0), cleaning=Cleaning())
    texts = [clean(text, Cleaning()) for text in TEXTS]
    for text, expected in zip(texts, case["ids"], strict=True):
        assert ours.encode([text])[0].ids == expected, text
    both = zip(texts, reversed(texts), strict=True) if case["pairs"] else ()
    for pair, expected in zip(both, case["pairs"], strict=True):
        assert ours.encode([pair])[0].ids == expected, pair


def test_what_changes_is_said_and_what_does_not_is_left_alone(word_pieces, tmp_path, capsys):
    tokenizer, names = word_pieces
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, tokenizer, "bert", names | {"tokenizer_class": "BertTokenizer", "do_lower_case": False})
    assert fetched(base, tmp_path).tokenizer.read_bytes() == (base / "tokenizer.json").read_bytes()
    assert "changes its tokenizer" not in capsys.readouterr().out
    write_base(base, tokenizer, "bert", names | {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    assert fetched(base, tmp_path).tokenizer.read_bytes() != (base / "tokenizer.json").read_bytes()
    assert "tokenizer_config.json changes its tokenizer: normalizer" in capsys.readouterr().out


def test_a_copy_of_an_applied_tokenizer_is_found_again(word_pieces, tmp_path):
    tokenizer, names = word_pieces
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, tokenizer, "bert", names | {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    first = fetched(base, tmp_path)
    made = first.tokenizer.stat().st_ino
    assert fetched(base, tmp_path) == first
    assert first.tokenizer.stat().st_ino == made
    again = fetch_base_model(str(first.folder), RegistrySettings(uri=str(tmp_path / "r"), cache=tmp_path / "another"))
    assert again.tokenizer.read_bytes() == first.tokenizer.read_bytes()


def test_a_class_that_transformers_cannot_load_is_said(word_pieces, tmp_path, capsys):
    tokenizer, names = word_pieces
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, tokenizer, "bert", names | {"tokenizer_class": "BertTokenizer", "encode": 7})
    assert fetched(base, tmp_path).tokenizer.read_bytes() == (base / "tokenizer.json").read_bytes()
    said = capsys.readouterr().out
    assert "transformers cannot load the base model's tokenizer, so its file is used alone: " in said
    assert "encode" in said


def test_a_file_named_in_the_settings_is_not_read(word_pieces, tmp_path):
    tokenizer, names = word_pieces
    other = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    other.save(str(tmp_path / "other.json"))
    base = tmp_path / "base"
    base.mkdir()
    said = {"tokenizer_file": str(tmp_path / "other.json"), "do_lower_case": False}
    write_base(base, tokenizer, "bert", names | said)
    assert fetched(base, tmp_path).tokenizer.read_bytes() == (base / "tokenizer.json").read_bytes()


def test_tokens_that_a_class_adds_behind_the_table_are_left_out(pieces, tmp_path):
    tokenizer, names = pieces
    base = tmp_path / "base"
    base.mkdir()
    write_base(base, tokenizer, "t5", names | {"tokenizer_class": "T5Tokenizer"})
    made = Tokenizer.from_file(str(fetched(base, tmp_path).tokenizer))
    assert made.get_vocab_size() == tokenizer.get_vocab_size()
    assert made.token_to_id("<extra_id_0>") is None
