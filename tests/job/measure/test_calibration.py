"""Calibration, against figures that can be worked out by hand."""

import numpy as np
import pytest

from tunewright.job.measure.calibration import calibration, fit_temperature, nll, outcomes_of, reliability


def outcomes(rows, sharp, seed=0, labels=3):
    """Rows of which the scores of logits divided by `sharp` are true."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2.5, (rows, labels))
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    truths = (shares.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1).clip(max=labels - 1)
    return outcomes_of((logits * sharp).astype(np.float32), truths)


def pair(score, right):
    """Two labels, of which the first has this score."""
    return [np.log(score / (1 - score)), 0.0], 0 if right else 1


def of_pairs(*pairs):
    logits, truths = zip(*pairs, strict=True)
    return outcomes_of(np.array(logits, dtype=np.float32), np.array(truths))


def test_the_error_is_the_distance_of_scores_and_shares_over_bins_of_equal_mass():
    low = [pair(0.6, number < 10) for number in range(20)]  # half of them right: 0.1 too high
    high = [pair(0.9, number < 19) for number in range(20)]  # 0.95 of them right: 0.05 too low
    found = reliability(of_pairs(*low, *high), 1.0)
    assert found.ece == pytest.approx((0.1 + 0.05) / 2)
    assert [(one.count, one.score, one.right) for one in found.bins] == [
        (20, pytest.approx(0.6), 0.5),
        (20, pytest.approx(0.9), 0.95),
    ]
    assert found.bins[0].low == pytest.approx(0.2993, abs=1e-4)
    assert found.nll == pytest.approx(
        -(10 * np.log(0.6) + 10 * np.log(0.4) + 19 * np.log(0.9) + np.log(0.1)) / 40, rel=1e-6
    )


def test_the_score_of_each_of_several_labels_promises_whether_the_row_has_it():
    logits = np.log(np.array([[0.8, 0.2]] * 20, dtype=np.float32) / np.array([[0.2, 0.8]], dtype=np.float32))
    truths = np.array([[1, 0]] * 10 + [[0, 0]] * 10, dtype=np.float32)
    found = reliability(outcomes_of(logits, truths), 1.0)
    assert found.ece == pytest.approx((0.3 + 0.2) / 2)
    assert found.nll == pytest.approx(-(10 * np.log(0.8) + 10 * np.log(0.2) + 20 * np.log(0.8)) / 40, rel=1e-5)


@pytest.mark.parametrize("sharp", [0.5, 2.0])
def test_the_temperature_is_the_one_that_made_the_rows(sharp):
    found = outcomes(4000, sharp)
    assert fit_temperature(found) == pytest.approx(sharp, rel=0.08)
    both = calibration(found, fit_temperature(found))
    assert both.after.ece < 0.02 < both.before.ece
    assert both.after.nll < both.before.nll


def test_scores_that_are_true_stay_as_they_are():
    kept = [fit_temperature(outcomes(400, 1.0, seed)) for seed in range(20)]
    assert kept.count(1.0) >= 10
    assert all(0.8 < one < 1.25 for one in kept)


def test_a_model_that_is_always_right_does_not_become_sure_of_everything():
    found = of_pairs(*([pair(0.9, True)] * 200))
    assert 0.2 < fit_temperature(found) < 1
    assert nll(found, fit_temperature(found)) < nll(found, 1.0)


def test_a_few_rows_fit_no_temperature():
    assert fit_temperature(outcomes(49, 3.0)) == 1.0


def test_labels_that_the_model_does_not_have_are_wrong_and_fit_nothing():
    found = outcomes(2000, 2.0)
    truths = np.where(np.arange(2000) % 4 == 0, 3, found.truths)
    strange = outcomes_of(found.logits, truths)
    assert fit_temperature(strange) == pytest.approx(2.0, rel=0.1)
    assert reliability(strange, 2.0).ece > 0.1
    assert nll(strange, 1.0) == pytest.approx(nll(found, 1.0), rel=0.1)


def test_the_interval_of_scores_that_are_true_reaches_to_nothing_and_chance_tells_what_few_rows_show():
    found = [reliability(outcomes(300, 1.0, seed), 1.0) for seed in range(20)]
    assert sum(one.interval[0] == 0 for one in found) >= 17
    assert np.mean([one.ece for one in found]) == pytest.approx(np.mean([one.chance for one in found]), rel=0.15)
