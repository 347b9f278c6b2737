"""What a caller sends."""

import pytest

from tunewright.serving.errors import InputError, shown
from tunewright.serving.request.texts import read_texts


@pytest.mark.parametrize(
    ("inputs", "texts", "are_many"),
    [
        ("a", ["a"], False),
        ({"text": "a"}, ["a"], False),
        (["a"], ["a"], True),
        (["a", {"text": "b"}], ["a", "b"], True),
    ],
)
def test_texts_come_in_each_of_the_usual_shapes(inputs, texts, are_many):
    assert read_texts(inputs, pair=False) == (texts, are_many)


@pytest.mark.parametrize(
    ("inputs", "are_many"),
    [
        (["a", "b"], False),
        ({"text": "a", "text_pair": "b"}, False),
        ([["a", "b"]], True),
        ([{"text": "a", "text_pair": "b"}], True),
    ],
)
def test_pairs_come_in_each_of_the_usual_shapes(inputs, are_many):
    assert read_texts(inputs, pair=True) == ([("a", "b")], are_many)


ONE = 'a string or {"text": ...}, or a list of such'
TWO = 'a pair of texts: {"text": ..., "text_pair": ...}, or a list of such'


@pytest.mark.parametrize(
    ("inputs", "pair", "sentence"),
    [
        ([], False, "'inputs' is an empty list: send at least one text"),
        (5, False, f"inputs is 5; this model reads {ONE}"),
        (None, False, f"inputs is null; this model reads {ONE}"),
        (["a", 5], False, f"inputs[1] is 5; this model reads {ONE}"),
        ([["a", "b"]], False, f"inputs[0] is ['a', 'b']; this model reads {ONE}"),
        (
            {"text": "a", "text_pair": "b"},
            False,
            f"inputs is {{'text': 'a', 'text_pair': 'b'}}; this model reads {ONE}",
        ),
        ({"txt": "a"}, False, f"inputs is {{'txt': 'a'}}; this model reads {ONE}"),
        ("a", True, f"inputs is 'a'; this model reads {TWO}"),
        ([["a", "b", "c"]], True, f"inputs[0] is ['a', 'b', 'c']; this model reads {TWO}"),
        ([["a", "b"], ["a", 1]], True, f"inputs[1] is ['a', 1]; this model reads {TWO}"),
    ],
)
def test_a_wrong_input_is_shown_with_what_is_read(inputs, pair, sentence):
    with pytest.raises(InputError) as caught:
        read_texts(inputs, pair=pair)
    assert str(caught.value) == sentence


def test_a_shown_value_is_short_and_printable():
    assert shown("\ud800\x00" + "a" * 1_000) == "'\\ud800\\x00" + "a" * 46 + "..."
