"""What models that write share; the rest of it is tested with each of them."""

import math

import pytest

from tunewright.job.train.next_token import unigram_perplexity


def test_tokens_drawn_by_their_frequency_have_the_perplexity_of_it():
    # Counts raised by one: 4 of 8 and 2 of 8, and one each of 8 for two tokens never learned.
    assert unigram_perplexity([0, 0, 0, 1], [0], 4) == pytest.approx(2)
    assert unigram_perplexity([0, 0, 0, 1], [1], 4) == pytest.approx(4)
    assert unigram_perplexity([0, 0, 0, 1], [0, 3], 4) == pytest.approx(math.sqrt(2 * 8))


def test_nothing_learned_is_a_draw_among_all_tokens():
    assert unigram_perplexity([], [5, 6], 100) == pytest.approx(100)
