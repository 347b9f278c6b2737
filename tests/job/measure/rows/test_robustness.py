from types import SimpleNamespace

import numpy as np
import pytest

from tunewright.job.measure.rows.intervals import share
from tunewright.job.measure.rows.robustness import MOST_ROWS, measure_robustness


class Rows(list):
    """Inputs as a data set gives them."""

    def select(self, places):
        return Rows([self[place] for place in places])

    def inputs(self):
        return list(self)


def reader(word, problem="single_label", thresholds=None):
    """A model that gives the second label to what has this word, as it is written."""
    model = SimpleNamespace(problem=problem, thresholds=thresholds)
    asked = []

    def outputs(inputs):
        asked.extend(inputs)
        has = [word in (one if isinstance(one, str) else " ".join(one)) for one in inputs]
        return [np.float32([0, 3 if there else -3]) for there in has]

    return SimpleNamespace(model=model, temperature=1.0, variant="fp32", outputs=outputs, asked=asked)


def flips(predictor, rows):
    found = measure_robustness(predictor, Rows(rows), lambda value: value)
    return {kind: (one.rows, one.flipped) for kind, one in found.kinds.items()}


def test_the_rows_that_a_change_reaches_are_counted_and_those_with_other_answers():
    rows = ["It is Good, John", "it is bad", "It is Good in 1999."]
    found = flips(reader("Good"), rows)
    assert {kind: count for kind, count in found.items() if kind != "typos"} == {
        "lower_case": (2, 2), "upper_case": (3, 2), "punctuation": (3, 0), "names": (1, 0),
        "numbers": (1, 0), "negation": (3, 0),
    }  # fmt: skip
    assert flips(reader("John"), rows)["names"] == (1, 1)
    assert flips(reader("not"), rows)["negation"] == (3, 3)


def test_shares_come_with_their_intervals():
    found = measure_robustness(reader("Good"), Rows(["Good"] * 8 + ["bad"] * 2), lambda value: value)
    one, expected = found.kinds["upper_case"], share(8, 10)
    assert (one.share, one.interval) == (expected.value, (expected.low, expected.high))
    assert (found.kinds["names"].share, found.kinds["names"].interval) == (0.0, (0.0, 1.0))
    assert (found.rows, found.variant) == (10, "fp32")


def test_pairs_stay_pairs_and_of_several_labels_each_counts():
    pairs = reader("Good", "multi_label", [0.5, 0.9])
    assert flips(pairs, [("It is Good", "He says so")])["lower_case"] == (1, 1)
    assert ("it is good", "he says so") in pairs.asked


@pytest.mark.parametrize("count", [1, 7, 2000])
def test_of_many_rows_some_are_changed(count):
    found = measure_robustness(reader("Good"), Rows(["Good"] * count), lambda value: value)
    assert found.rows == min(count, MOST_ROWS)
