"""The parts of a tokenizer.json, and what its rules may make of a text."""

import base64
import json
import re

import pytest
from tokenizers import Tokenizer, models, normalizers

from tunewright.serving.errors import BundleError
from tunewright.serving.text.tokenizer_file import check_tokenizer_file


@pytest.fixture
def spoil(reviews, tmp_path):
    """spoil(normalizer=...) gives the path of a good tokenizer.json with other parts."""

    def make(**parts):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(json.loads((reviews / "tokenizer.json").read_text()) | parts))
        return path

    return make


def refusal(path):
    with pytest.raises(BundleError) as caught:
        check_tokenizer_file(path)
    return str(caught.value)


def sequence(*parts):
    return {"type": "Sequence", "normalizers": list(parts)}


def replace(pattern, content):
    kind = "String" if isinstance(pattern, str) else "Regex"
    return {"type": "Replace", "pattern": {kind: getattr(pattern, "pattern", pattern)}, "content": content}


def table(content):
    """A compiled table of characters, as SentencePiece writes it, of which only the texts are looked at."""
    texts = content.encode() + b"\0"
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(bytes(4) + texts).decode()}


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("normalizer", "BertNormalizer, ByteLevel, Lowercase"),
        ("pre_tokenizer", "BertPreTokenizer, ByteLevel, CharDelimiterSplit"),
        ("post_processor", "BertProcessing, ByteLevel, RobertaProcessing"),
        ("model", "BPE, Unigram, WordLevel, WordPiece"),
        ("decoder", "BPEDecoder, ByteFallback, ByteLevel"),
    ],
)
def test_a_part_that_is_not_on_the_list_is_refused(spoil, part, allowed):
    said = refusal(spoil(**{part: {"type": "Custom"}}))
    assert said.startswith(f"tokenizer.json has the {part} 'Custom'; allowed: {allowed}")


@pytest.mark.parametrize("inner", [{"type": "Custom"}, "Custom", 7, None])
def test_a_part_inside_a_sequence_is_looked_at_too(spoil, inner):
    assert "tokenizer.json has the normalizer" in refusal(spoil(normalizer=sequence(sequence(inner))))


def test_a_sequence_that_is_no_list_is_refused(spoil):
    assert "has the normalizer None; allowed" in refusal(spoil(normalizer={"type": "Sequence", "normalizers": 5}))


def test_deep_nesting_is_read_without_recursion(spoil):
    nested = {"type": "Custom"}
    for _ in range(300):
        nested = sequence(nested)
    assert "has the normalizer 'Custom'" in refusal(spoil(normalizer=nested))


def test_a_dropout_is_refused(spoil):
    assert refusal(spoil(model={"type": "BPE", "dropout": 0.1})) == (
        "tokenizer.json has a dropout of 0.1, with which one text becomes other tokens each time; set it to null"
    )


def test_words_that_take_minutes_are_refused(spoil):
    assert refusal(spoil(model={"type": "WordPiece", "max_input_chars_per_word": 10**9})) == (
        "tokenizer.json reads words of up to 1,000,000,000 characters (max_input_chars_per_word); at most 1,000 are "
        "allowed"
    )


AROUND = [{"Sequence": {"id": "A", "type_id": 0}}] * 17
GROWING = {
    "one letter": ({"normalizer": sequence(*[replace("a", "aaaa")] * 3)}, "64"),
    "a character of no probe": ({"normalizer": sequence(*[replace("\u2603", "\u2603" * 150)] * 3)}, "3,375,000"),
    "a place before a rare character": ({"normalizer": sequence(*[replace(re.compile("(?=\u2603)"), "x")] * 5)}, "32"),
    "nothing": ({"normalizer": sequence(*[replace("", "x")] * 5)}, "32"),
    "nothing, written long": ({"normalizer": sequence(*[replace(re.compile("a{0}"), "x")] * 5)}, "32"),
    "what is no pattern": ({"normalizer": sequence(*[{"type": "Replace", "content": "xxx"}] * 3)}, "64"),
    "without end": ({"normalizer": sequence(*[replace("a", "a" * 1000)] * 5)}, "10^12 and more"),
    "a beginning": ({"normalizer": sequence(*[{"type": "Prepend", "prepend": "aaaaa"}] * 2)}, "25"),
    "a compiled table": ({"normalizer": sequence(*[table("\u2603" * 180)] * 2)}, "100"),
    "bytes": ({"normalizer": sequence(*[{"type": "ByteLevel"}] * 5)}, "32"),
    "blanks": ({"normalizer": sequence(*[{"type": "BertNormalizer"}] * 3)}, "27"),
    "a template": ({"post_processor": {"type": "TemplateProcessing", "single": AROUND}}, "17"),
    "a decoder": ({"normalizer": replace("a", "aaa"), "decoder": replace("a", "a" * 6)}, "18"),
}


@pytest.mark.parametrize("name", GROWING)
def test_rules_that_together_grow_a_text_are_refused(spoil, name):
    parts, times = GROWING[name]
    assert refusal(spoil(**{"normalizer": None} | parts)) == (
        f"the rules of tokenizer.json (Replace, Prepend and the like) can make a text {times} times as long; "
        "at most 16 times is allowed"
    )


ORDINARY = {
    "a little growth": sequence(*[replace("a", "aaaa")] * 2),
    "quotes and blanks": sequence(
        *[replace(mark, '"') for mark in ("``", "''", "--")], replace(re.compile(" {2,}"), " ")
    ),
    "many plain rules": sequence(
        *[replace(re.compile(rule), " ") for rule in (r"\s+", "[\n\r]+", " {2,}", r"\d+", "_+")]
    ),
    "what Unicode makes": table("\ufdfa" + "x" * 17),
    "Llama": sequence({"type": "Prepend", "prepend": "\u2581"}, replace(" ", "\u2581")),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_rules_of_ordinary_tokenizers_are_allowed(spoil, name):
    check_tokenizer_file(spoil(normalizer=ORDINARY[name], decoder=sequence_of_decoders()))


def sequence_of_decoders():
    return {"type": "Sequence", "decoders": [replace("\u2581", " "), {"type": "ByteFallback"}, {"type": "Fuse"}]}


def test_a_table_that_is_no_table_is_left_to_the_library(spoil):
    check_tokenizer_file(spoil(normalizer={"type": "Precompiled", "precompiled_charsmap": "!"}))


def test_what_the_library_writes_is_read(tmp_path):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("a", "b"), normalizers.Prepend("x")])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    check_tokenizer_file(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("padding", [{"strategy": {"Fixed": 10**8}}, {"pad_to_multiple_of": 10**8}])
def test_padding_without_bound_is_refused(spoil, padding):
    assert refusal(spoil(padding=padding)) == (
        "tokenizer.json pads every text to 100,000,000 tokens; at most 16,384 are allowed"
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
    assert refusal(write("tokenizer.json", data)).startswith(f"tokenizer.json {sentence}")
