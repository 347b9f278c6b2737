"""Text to token ids."""

import shutil

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.text.cleaning import Cleaning
from tunewright.serving.text.encoding import (
    MODEL_INPUTS,
    Encoder,
    Padding,
    check_inputs,
    load_tokenizer,
    shared_tokenizer,
)


@pytest.fixture
def encoder(reviews):
    return make_encoder(reviews / "tokenizer.json")


def make_encoder(path, max_length=32):
    return Encoder(path, max_length=max_length, padding=Padding(id=7, type_id=1), cleaning=Cleaning())


@pytest.fixture
def bare_tokenizer(tmp_path):
    """A function that saves a tokenizer of the word "a" without special tokens."""

    def save(pre_tokenizer):
        tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        return tmp_path / "tokenizer.json"

    return save


def test_a_text_is_cleaned_before_it_is_tokenized(encoder):
    spoilt, plain = encoder.encode(["  great \x00\n lamp ", "great lamp"])
    assert spoilt == plain


def test_a_pair_carries_its_segments(encoder):
    (row,) = encoder.encode([("great", "lamp")])
    assert row.type_ids == [0, 0, 0, 1, 1]


def test_padding_fills_the_right_with_what_the_model_names(encoder):
    arrays = encoder.pad(encoder.encode(["great", "great lamp"]), MODEL_INPUTS)
    assert arrays["input_ids"][0, -1] == 7
    assert arrays["token_type_ids"][0].tolist() == [0, 0, 0, 1]
    assert arrays["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("text", "truncated"),
    [
        ("great lamp", False),
        ("great " * 30, False),
        ("great " * 31, True),
        ("great " * 200_000, True),
        ("a" * 1_000_000, True),
        (("great", "lamp " * 40), True),
    ],
)
def test_a_cut_text_is_reported_as_cut(encoder, text, truncated):
    (row,) = encoder.encode([text])
    assert row.truncated is truncated
    assert len(row) <= 32


def test_the_longer_text_of_a_pair_is_cut_first(encoder):
    (row,) = encoder.encode([("great", "lamp " * 100)])
    assert row.type_ids.count(0) == 3


def test_blanks_before_the_words_do_not_cost_the_words(encoder):
    far, near = encoder.encode([" " * 2_000 + "great", "great"])
    assert far == near


def test_a_text_without_any_token_is_refused_with_its_place(bare_tokenizer):
    encoder = make_encoder(bare_tokenizer(pre_tokenizers.Whitespace()))
    with pytest.raises(InputError) as caught:
        encoder.encode(["a", " "])
    assert str(caught.value) == "text 1 is empty: this model's tokenizer makes no token of it"


def test_a_panic_of_the_tokenizer_is_an_error_of_the_request(bare_tokenizer):
    encoder = make_encoder(bare_tokenizer(pre_tokenizers.Split(Regex("(a+)+$"), "isolated")))
    with pytest.raises(InputError, match=r"^the tokenizer gives up on a text: Onig: Regex search error"):
        encoder.encode(["a" * 30 + "b"])


def test_a_file_that_is_no_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError) as caught:
        load_tokenizer(tmp_path / "tokenizer.json")
    assert str(caught.value).startswith(f"{tmp_path}/tokenizer.json is not a tokenizer this program can read: ")


def test_a_tokenizer_is_read_once_for_all_that_cut_at_the_same_place(reviews, tmp_path):
    same = tmp_path / "tokenizer.json"
    shutil.copy(reviews / "tokenizer.json", same)
    first = shared_tokenizer(reviews / "tokenizer.json", 7)
    assert shared_tokenizer(same, 7) is first
    assert shared_tokenizer(same, 8) is not first
    assert shared_tokenizer(same).truncation is None
    assert first.truncation["max_length"] == 7
    same.write_text(same.read_text() + " ")
    assert shared_tokenizer(same, 7) is not first


def test_a_graph_that_wants_more_than_text_is_refused():
    with pytest.raises(BundleError) as caught:
        check_inputs(["input_ids", "pixel_values"])
    assert str(caught.value) == (
        "the graph wants an input 'pixel_values'; text models have input_ids, attention_mask, token_type_ids"
    )


def placed(encoder, text):
    """What stands at the place of each token of a row."""
    texts = (text,) if isinstance(text, str) else text
    (row,) = encoder.encode([text])
    places = encoder.places(text)
    assert len(places) == len(row)
    return [place and texts[place.text][place.start : place.end] for place in places]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("  great \x00\n lamp ", [None, "great", "lamp", None]),
        (("great", " lamp"), [None, "great", None, "lamp", None]),
        ("", [None, None]),
    ],
)
def test_tokens_know_where_they_stand_in_the_text_as_it_was_sent(encoder, text, found):
    assert placed(encoder, text) == found


@pytest.mark.parametrize("direction", ["left", "right"])
@pytest.mark.parametrize("text", ["great " * 50 + "lamp", " \x00" * 9_000 + "great " * 5_000 + "lamp"])
def test_places_are_those_of_the_end_that_is_read(reviews, tmp_path, direction, text):
    tokenizer = Tokenizer.from_file(str(reviews / "tokenizer.json"))
    tokenizer.enable_truncation(8, direction=direction)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = placed(make_encoder(tmp_path / "tokenizer.json", max_length=8), text)[1:-1]
    if direction == "left":
        assert found == ["great"] * 5 + ["lamp"]
    else:
        assert set(found) <= {"great"}
