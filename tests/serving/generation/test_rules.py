"""The rules, against the logits processors of transformers."""

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as theirs

from tunewright.serving.errors import InputError
from tunewright.serving.generation.rules import Rules, highest, narrowed
from tunewright.serving.generation.sequences import Sequences
from tunewright.serving.generation.settings import GenerationSettings

VOCABULARY = 700


@pytest.fixture
def scores():
    return np.random.default_rng(3).normal(0, 4, (6, VOCABULARY)).astype(np.float32)


def applied(settings, scores, rows, most=9):
    """The scores of rows of several prompts, each judged by its own tokens."""
    each = zip(scores.copy(), rows, strict=True)
    return np.concatenate([Rules(settings).apply(one[None], Sequences(row, most)) for one, row in each])


def test_all_rules_apply_in_the_order_of_transformers(scores):
    """The order counts: a penalty after a ban would turn the ban into a number."""
    rows = np.random.default_rng(4).integers(0, 12, (6, 40))
    settings = GenerationSettings(
        repetition_penalty=1.7, no_repeat_ngram_size=3, min_new_tokens=5, eos_token_id=[3, 9], max_new_tokens=8
    )
    expected = torch.tensor(scores)
    for processor in (
        theirs.RepetitionPenaltyLogitsProcessor(1.7),
        theirs.NoRepeatNGramLogitsProcessor(3),
        theirs.MinNewTokensLengthLogitsProcessor(40, 5, [3, 9]),
    ):
        expected = processor(torch.tensor(rows), expected)
    found = applied(settings, scores, rows, 8)
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("length", [1, 2, 4, 5, 6, 30])
def test_no_sequence_of_tokens_occurs_twice(scores, size, length):
    rows = np.random.default_rng(length).integers(0, 3, (6, length))
    expected = theirs.NoRepeatNGramLogitsProcessor(size)(torch.tensor(rows), torch.tensor(scores))
    settings = GenerationSettings(no_repeat_ngram_size=size)
    found = applied(settings, scores, rows)
    np.testing.assert_array_equal(found, expected.numpy())


def test_a_rule_that_forbids_every_token_is_refused():
    scores = np.zeros((1, 3), np.float32)
    with pytest.raises(InputError, match=r"^no_repeat_ngram_size 1 leaves no token that could follow$"):
        Rules(GenerationSettings(no_repeat_ngram_size=1)).apply(scores, Sequences([2, 0, 1], 9))


def test_the_rows_of_a_beam_search_are_each_judged_by_their_own_tokens(scores):
    settings = GenerationSettings(repetition_penalty=2.0, no_repeat_ngram_size=2)
    beams = Sequences([1, 2], 9)
    beams.take(np.zeros(3, np.intp))
    beams.append(np.array([1, 2, 5]))
    beams.take(np.array([2, 0, 0]))
    together = Rules(settings).apply(scores[:3].copy(), beams)
    np.testing.assert_array_equal(together, applied(settings, scores[:3], [[1, 2, 5], [1, 2, 1], [1, 2, 1]]))
    assert together[1, 2] == -np.inf
    assert [beams.answer(row) for row in range(3)] == [[5], [1], [1]]


def test_a_row_at_its_own_limit_is_forced_to_end(scores):
    settings = GenerationSettings(forced_eos_token_id=[4, 7])
    [found] = applied(settings, scores[:1], [[1]], 1)
    assert np.flatnonzero(found > -np.inf).tolist() == [4, 7]
    np.testing.assert_array_equal(applied(settings, scores[:1], [[1]], 2), scores[:1])


def test_the_first_token_may_be_forced(scores):
    found = applied(GenerationSettings(forced_bos_token_id=5), scores[:2], [[2], [2, 9]], 3)
    assert np.flatnonzero(found[0] > -np.inf).tolist() == [5]
    np.testing.assert_array_equal(found[1], scores[1])


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.3},
        {"temperature": 1.7},
        {"top_k": 1},
        {"top_k": 50},
        {"top_k": VOCABULARY + 1},
        {"top_p": 0.9},
        {"top_p": 0.01},
        {"temperature": 2.5, "top_k": 40, "top_p": 0.8},
        {"typical_p": 0.9},
        {"typical_p": 0.05, "temperature": 3.0},
        {"top_k": 30, "typical_p": 0.6},
    ],
)
def test_the_distribution_is_that_of_transformers(scores, fields):
    expected = torch.tensor(scores)
    settings = GenerationSettings(do_sample=True, **{"top_k": 0, **fields})
    if settings.temperature != 1.0:
        expected = theirs.TemperatureLogitsWarper(settings.temperature)(None, expected)
    if settings.top_k:
        expected = theirs.TopKLogitsWarper(settings.top_k)(None, expected)
    if settings.top_p < 1.0:
        expected = theirs.TopPLogitsWarper(settings.top_p)(None, expected)
    if settings.typical_p < 1.0:
        expected = theirs.TypicalLogitsWarper(settings.typical_p)(None, expected)
    found = np.stack([narrowed(row, settings) for row in scores])
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("size", [1, 5, 63, 64, 65, 200, 5000])
@pytest.mark.parametrize("count", [1, 3, 8, 70])
def test_the_highest_scores_are_those_of_a_whole_sort(size, count):
    scores = np.random.default_rng(size).integers(0, 40, size).astype(np.float32)
    scores[: size // 3] = -np.inf
    expected = np.argsort(-scores, kind="stable")[:count]
    np.testing.assert_array_equal(highest(scores, count), expected)
