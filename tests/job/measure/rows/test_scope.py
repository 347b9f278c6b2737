"""How well scores tell rows out of scope from test rows, by hand and by simulation."""

from types import SimpleNamespace

import numpy as np
import pytest

from tunewright.job.measure.rows.scope import MOST_ROWS, auroc, measure_scope, reached_by


class Rows(list):
    """Inputs as a data set gives them."""

    def select(self, places):
        return Rows([self[place] for place in places])

    def batches(self):
        yield list(self), [None] * len(self)


def predictor(temperature=1.0):
    """A model whose odds of the second label are the number it is asked about."""
    return SimpleNamespace(
        variant="int8",
        temperature=temperature,
        outputs=lambda inputs: [np.float32([0, np.log(float(one))]) for one in inputs],
    )


def test_pairs_are_counted_and_equal_scores_by_half():
    # 0.9 is above both, 0.6 above one and equal to the other, 0.5 above one.
    found = auroc(np.array([0.9, 0.6, 0.5]), np.array([0.6, 0.4]))
    assert found.value == pytest.approx((2 + 1.5 + 1) / 6)
    assert 0 < found.low < found.value < found.high < 1


def test_the_interval_has_two_ends_where_all_rows_are_told_apart_and_where_none_is():
    low, high = np.arange(20) / 100, np.arange(20) / 100 + 0.5
    best, worst = auroc(high, low), auroc(low, high)
    assert (best.value, best.high) == (1.0, 1.0)
    assert 0.8 < best.low < 0.9
    assert (worst.value, worst.low, worst.high) == (0.0, 0.0, pytest.approx(1 - best.low))


@pytest.mark.parametrize(("apart", "rows"), [(0.0, (60, 60)), (1.0, (100, 40)), (2.0, (60, 60))])
def test_the_interval_holds_what_is_true_in_95_of_100_measurements(apart, rows):
    from scipy.stats import norm

    random, true = np.random.default_rng(3), norm.cdf(apart / np.sqrt(2))
    drawn = [auroc(random.normal(apart, 1, rows[0]), random.normal(0, 1, rows[1])) for _ in range(1000)]
    assert 0.93 <= np.mean([one.low <= true <= one.high for one in drawn]) <= 0.97


def test_the_score_that_enough_rows_reach():
    scores = np.array([0.1, 0.9, 0.5, 0.7, 0.3])
    assert [reached_by(scores, part) for part in (0.2, 0.21, 0.8, 1.0)] == [0.9, 0.7, 0.3, 0.1]


def test_rows_out_of_scope_are_held_against_the_scores_of_the_test_rows():
    inside = np.float32([0.9] * 10 + [0.75] * 9 + [0.55])
    # Odds of 3, 9 and 1: scores of 0.75, 0.9 and 0.5.
    found = measure_scope(predictor(), Rows(["3", "9", "1", "1"]), inside, str, 0.8)
    assert (found.variant, found.rows) == ("int8", 4)
    assert (found.usual.score, found.usual.inside, found.usual.outside) == (0.75, 0.95, 0.5)
    assert (found.abstaining.score, found.abstaining.inside, found.abstaining.outside) == (0.8, 0.5, 0.25)
    # Wilson's interval of one of four.
    assert found.abstaining.interval == (pytest.approx(0.0456, abs=1e-4), pytest.approx(0.6994, abs=1e-4))
    assert (found.curve[-1].inside, found.curve[-1].outside) == (1.0, 0.5)
    assert [one.inside for one in found.curve] == sorted(one.inside for one in found.curve)


def test_scores_are_those_that_are_served():
    # Odds of 9 are odds of 3 at a temperature of 2.
    found = measure_scope(predictor(2.0), Rows(["9"]), np.float32([0.8]), str, None)
    assert (found.auroc, found.abstaining) == (1.0, None)


def test_of_very_many_rows_some_are_asked():
    assert measure_scope(predictor(), Rows(["3"] * (MOST_ROWS + 1)), np.float32([0.8]), str, None).rows == MOST_ROWS
