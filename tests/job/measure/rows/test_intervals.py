import numpy as np
import pytest
from scipy.stats import binomtest

from tunewright.job.measure.rows.intervals import f1, mean, share


def test_a_share_has_wilsons_interval():
    expected = binomtest(45, 60).proportion_ci(method="wilson")
    assert share(45, 60) == pytest.approx((0.75, expected.low, expected.high), abs=1e-6)
    assert share(0, 0) == (0.0, 0.0, 1.0)
    assert share(0, 10)[1] == 0.0
    assert share(10, 10)[2] == pytest.approx(1.0)


def test_a_mean_has_students_interval():
    # Five values with a standard deviation of 1: 2.776 / sqrt(5) to either side.
    assert mean([1.0, 1.0, 2.0, 3.0, 3.0]) == pytest.approx((2.0, 0.7583, 3.2417), abs=1e-4)
    assert mean([4.0]) == (4.0, -np.inf, np.inf)


def test_f1_is_that_of_its_counts():
    found = f1(8, 2, 4, 100)
    assert found.value == pytest.approx(16 / 22)
    assert 0.4 < found.low < found.value < found.high < 0.95
    assert f1(0, 0, 0, 100) == (0.0, 0.0, 1.0)
    assert f1(50, 0, 0, 100) == (1.0, 1.0, 1.0)


def coverage(draw, interval, truth, times=600):
    random = np.random.default_rng(5)
    found = [interval(draw(random)) for _ in range(times)]
    return np.mean([low <= truth <= high for _, low, high in found])


def test_intervals_hold_the_truth_in_95_of_100_cases():
    rows, shares = 400, [0.3, 0.1, 0.08, 0.52]
    true = 2 * shares[0] / (2 * shares[0] + shares[1] + shares[2])
    counts = coverage(
        lambda random: random.multinomial(rows, shares), lambda drawn: f1(*drawn[:3].tolist(), rows), true
    )
    shares_held = coverage(lambda random: random.binomial(200, 0.9), lambda drawn: share(int(drawn), 200), 0.9, 2000)
    means = coverage(lambda random: random.gamma(2.0, 0.1, 200), mean, 0.2, 1000)
    for held in (counts, shares_held, means):
        assert 0.93 <= held <= 0.97
