"""Words changed."""

import numpy as np
import pytest

from tunewright.job.batches.augment.words import changed, pieces_of, text_changed
from tunewright.job.settings.remedies import AugmentSettings

TEXT = "The quick, brown fox: jumped over (the) lazy dogs."


def made(text=TEXT, seed=1, **settings):
    return "".join(text_changed(text, AugmentSettings(**settings), np.random.default_rng(seed)))


def test_a_text_is_words_and_what_stands_between_them():
    assert pieces_of("Hi, you!") == ["", "Hi", ", ", "you", "!"]
    assert pieces_of("我在 x")[1::2] == ["我", "在", "x"]


def test_nothing_asked_is_nothing_changed():
    assert made() == TEXT


def test_swapped_words_are_the_same_words():
    found = made(swap=0.5)
    assert found != TEXT
    assert sorted(pieces_of(found)[1::2]) == sorted(pieces_of(TEXT)[1::2])
    assert pieces_of(found)[::2] == pieces_of(TEXT)[::2]


def test_words_are_left_out_and_the_others_keep_their_order():
    words, found = pieces_of(TEXT)[1::2], pieces_of(made(delete=0.4))[1::2]
    assert 0 < len(found) < len(words)
    places = [words.index(word) for word in found]
    assert places == sorted(places)


def test_one_word_is_always_left():
    assert all(made("one two", seed=seed, delete=0.99).strip() for seed in range(50))


def test_a_typo_keeps_the_first_letter_and_most_of_the_others():
    for word, spoilt in zip(pieces_of(TEXT)[1::2], pieces_of(made(typos=0.99))[1::2], strict=True):
        assert spoilt[0] == word[0]
        assert abs(len(spoilt) - len(word)) <= 1
        assert set(spoilt) <= set(word)


def test_fixed_words_stay_where_they_are():
    words, fixed = list("abcdefgh"), [letter in "cd" for letter in "abcdefgh"]
    for seed in range(40):
        settings = AugmentSettings(swap=0.5, delete=0.5)
        found = [word for _, word in changed(words, settings, np.random.default_rng(seed), fixed=fixed)]
        assert "".join(found).count("cd") == 1


def test_a_text_without_words_stays():
    assert made("?!", delete=0.9) == "?!"


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_random_numbers_change_alike(seed):
    assert made(seed=seed, swap=0.3, typos=0.3) == made(seed=seed, swap=0.3, typos=0.3)
