"""Where one label begins."""

import numpy as np
import pytest
from pydantic import ValidationError

from tunewright.job.settings.remedies import ThresholdSettings
from tunewright.job.train.decision import decide

TRUTH = np.array([1, 1, 0, 1, 0, 0, 2, 0])
# The margins of label 1 over the best other label: 3, 1, 0.5, -0.5, -1, -2, -2, -4.
MARGINS = np.array([3.0, 1.0, 0.5, -0.5, -1.0, -2.0, -2.0, -4.0], dtype=np.float32)
LOGITS = np.stack([np.zeros(8), MARGINS, np.full(8, -1.0)], axis=1).astype(np.float32)


def decided(**wanted):
    return decide(LOGITS, TRUTH, 1, ThresholdSettings(label="rare", **wanted))


def test_a_recall_is_reached_with_the_most_precision():
    found = decided(recall=0.9)
    assert (found.recall_before, found.precision_before) == pytest.approx((2 / 3, 2 / 3))
    assert (found.recall, found.precision, found.reached, found.rows) == (1.0, 0.75, True, 3)
    assert found.shift == pytest.approx(0.75)


def test_a_precision_is_reached_with_the_most_recall():
    found = decided(precision=0.9)
    assert (found.recall, found.precision, found.reached) == (pytest.approx(2 / 3), 1.0, True)
    assert found.shift == pytest.approx(-0.75)


def test_what_is_not_to_be_had_is_come_near_to():
    worst = np.array([0, 0, 1, 0, 1, 0, 0, 0])
    found = decide(LOGITS, worst, 1, ThresholdSettings(label="rare", precision=0.9))
    assert not found.reached
    assert found.precision == pytest.approx(0.4)


def test_equal_margins_stay_on_one_side():
    truth = np.where(np.arange(8) == 5, 1, 0)
    found = decide(LOGITS, truth, 1, ThresholdSettings(label="rare", recall=1))
    assert (found.recall, found.precision) == (1.0, pytest.approx(1 / 7))
    assert found.shift == pytest.approx(3.0)


def test_a_label_without_rows_stays_where_it_is():
    found = decide(LOGITS, np.zeros(8, dtype=np.int64), 1, ThresholdSettings(label="rare", recall=1))
    assert (found.shift, found.reached, found.rows) == (0.0, False, 0)


@pytest.mark.parametrize("given", [{}, {"recall": 0.9, "precision": 0.9}])
def test_one_of_both_is_asked_for(given):
    with pytest.raises(ValidationError, match="give one of recall and precision"):
        ThresholdSettings(label="rare", **given)
