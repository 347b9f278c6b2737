import numpy as np
import pytest

from tunewright.job.measure.rows.coverage import (
    answered_from,
    area_under_risk,
    at_score,
    by_threshold,
    risk_by_coverage,
)

SURE = np.array([0.9, 0.6, 0.8, 0.7])
RIGHT = np.array([True, False, True, False])


def test_risk_is_what_is_wrong_among_the_surest_answers():
    points = risk_by_coverage(SURE, RIGHT, points=4)
    assert [(point.score, point.coverage, point.risk.value) for point in points] == [
        (0.9, 0.25, 0.0),
        (0.8, 0.5, 0.0),
        (0.7, 0.75, pytest.approx(1 / 3)),
        (0.6, 1.0, 0.5),
    ]


def test_rows_of_equal_score_are_answered_together():
    points = risk_by_coverage(np.array([0.5, 0.9, 0.5, 0.5]), np.array([True, True, False, True]))
    assert [(point.coverage, point.risk.value) for point in points] == [(0.25, 0.0), (1.0, 0.25)]


def test_the_area_is_the_mean_risk_over_all_coverages():
    assert area_under_risk(SURE, RIGHT) == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert area_under_risk(SURE, np.ones(4, dtype=bool)) == 0
    # One wrong of two that are equally sure counts half, in whatever order they come.
    assert area_under_risk(np.array([0.5, 0.5]), np.array([True, False])) == pytest.approx(0.5)


def test_as_much_is_answered_as_is_surely_right_enough():
    sure = np.array([0.9] * 100 + [0.8] * 10 + [0.6] * 10)
    right = np.array([True] * 109 + [False] * 11)
    # Of 110 rows one is wrong, which may be 5.0 % of all such rows; of 100 none, which may be 3.7 %.
    assert (answered_from(sure, right, 0.06).score, answered_from(sure, right, 0.06).coverage) == (0.8, 110 / 120)
    assert answered_from(sure, right, 0.04).score == 0.9
    assert answered_from(sure, right, 0.03) is None
    assert answered_from(sure, right, 0.9).coverage == 1


def test_a_score_answers_those_that_reach_it():
    point = at_score(SURE, RIGHT, 0.7)
    assert (point.coverage, point.risk.value) == (0.75, pytest.approx(1 / 3))
    assert at_score(SURE, RIGHT, 0.95).risk == (0, 0, 1)


def test_a_threshold_costs_recall_and_buys_precision():
    scores, has = np.array([0.9, 0.8, 0.4, 0.1], dtype=np.float32), np.array([True, False, True, False])
    found = by_threshold(scores, has, points=6)
    assert found.scores == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert found.precision == pytest.approx([0.5, 2 / 3, 2 / 3, 0.5, 0.5, np.nan], nan_ok=True)
    assert found.recall == pytest.approx([1, 1, 1, 0.5, 0.5, 0])
    assert found.f1 == pytest.approx([2 / 3, 0.8, 0.8, 0.5, 0.5, 0])


def test_the_interval_of_the_risk_holds_the_truth_in_95_of_100_cases():
    random, held = np.random.default_rng(3), []
    for _ in range(500):
        sure = random.uniform(0.5, 1, 400)
        right = random.uniform(size=400) < sure
        half = next(point for point in risk_by_coverage(sure, right, points=10) if point.coverage >= 0.5)
        # Of the half that is surest 0.875 are right on average, between 0.75 and 1.
        held.append(half.risk.low <= 1 - (half.score + 1) / 2 <= half.risk.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_the_share_that_was_asked_for_is_kept_in_95_of_100_cases():
    random, kept, answered = np.random.default_rng(5), [], []
    for _ in range(500):
        sure = random.uniform(0.5, 1, 1000)
        right = random.uniform(size=1000) < sure
        point = answered_from(sure, right, 0.15)
        # From a score s on 1 - (s + 1) / 2 are wrong on average; 0.15 of the answers from 0.7 on, which are 60 %.
        kept.append(point is None or 1 - (point.score + 1) / 2 <= 0.15)
        answered.append(point.coverage if point else 0)
    assert np.mean(kept) >= 0.95
    assert np.mean(answered) > 0.45
