"""Words of texts, made of the tokens of a row."""

import pytest

from tunewright.serving.explain.parts import joined, told_words, words_of
from tunewright.serving.text.encoding import Place


def words(text, *spans):
    places = [None, *(Place(0, *span) for span in spans), None]
    found = words_of([text], places)
    return [(one["text"], word.tokens) for word, one in zip(found, told_words(found, [text]), strict=True)]


def test_pieces_of_a_word_are_one_part():
    assert words("unbelievable!", (0, 2), (2, 9), (9, 12), (12, 13)) == [("unbelievable", (1, 2, 3)), ("!", (4,))]


def test_an_apostrophe_inside_a_word_splits_nothing():
    assert words("don't go'", (0, 3), (3, 4), (4, 5), (6, 8), (8, 9)) == [
        ("don't", (1, 2, 3)),
        ("go", (4,)),
        ("'", (5,)),
    ]


def test_a_space_that_a_token_begins_with_is_not_part_of_the_word():
    assert words("a dog", (0, 1), (1, 5)) == [("a", (1,)), ("dog", (2,))]


def test_each_character_of_a_script_without_spaces_is_a_part():
    assert [text for text, _ in words("很好", (0, 1), (1, 2))] == ["很", "好"]


def test_tokens_of_one_character_are_one_part():
    assert words("😀 ok", (0, 1), (0, 1), (0, 1), (2, 4)) == [("😀", (1, 2, 3)), ("ok", (4,))]


@pytest.mark.parametrize("most", [1, 2, 5, 50])
def test_many_words_become_few_parts_that_hold_them_all(most):
    found = words_of(["a b c d e f g", "h i j"], [Place(0, n, n + 1) for n in range(0, 13, 2)] + [Place(1, 0, 1)])
    parts = joined(found, most)
    assert len(parts) <= max(most, 2)
    assert [token for part in parts for token in part.tokens] == [token for word in found for token in word.tokens]


def test_the_parts_of_two_texts_name_their_text():
    parts = words_of(["a", "b"], [Place(0, 0, 1), Place(1, 0, 1)])
    told = told_words(parts, ["a", "b"], ("text", "text_pair"))
    assert told[1] == {"field": "text_pair", "text": "b", "start": 0, "end": 1}
