"""Rows of rare labels more often."""

import numpy as np
import pytest
import torch

from tunewright.job.batches.by_length import LengthGroupedBatches
from tunewright.job.batches.resampled import Resampled, draw, repeats

LABELS = [["a"]] * 90 + [["b"]] * 9 + [["c"]] * 3


class Counted:
    """Rows that say which they are."""

    truncated = 0

    def __init__(self, rows):
        self.lengths = np.arange(1, rows + 1)

    def __len__(self):
        return len(self.lengths)

    def batch(self, rows):
        return {"targets": torch.tensor(rows)}


def counted(resampled):
    return resampled.batch(range(len(resampled)))["rows"].numpy()


@pytest.mark.parametrize(("sampling", "each"), [("over", 90), ("under", 3)])
def test_every_label_has_as_many_rows(sampling, each):
    drawn = counted(Resampled(Counted(102), repeats(LABELS, sampling, single=True), seed=1))
    assert len(drawn) == 3 * each
    for first, last in ((0, 90), (90, 99), (99, 102)):
        assert abs(((drawn >= first) & (drawn < last)).sum() - each) <= 1


def test_a_row_is_repeated_as_often_as_any_of_its_label():
    drawn = counted(Resampled(Counted(102), repeats(LABELS, "over", single=True), seed=1))
    times = np.bincount(drawn, minlength=102)
    assert set(times[99:]) <= {29, 30, 31}
    assert set(times[:90]) <= {0, 1, 2}
    assert (times[:90] == 1).mean() > 0.9


def test_of_several_labels_the_rarest_counts_by_the_root():
    often = repeats([["a"], ["a"], ["a"], ["a", "b"], []], "over", single=False)
    assert often.tolist() == [1.0, 1.0, 1.0, 2.0, 1.0]


def test_another_epoch_draws_other_rows_and_the_same_one_the_same():
    rows = Resampled(Counted(102), repeats(LABELS, "under", single=True), seed=1)
    first = counted(rows)
    rows.renew(2)
    second = counted(rows)
    rows.renew(1)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, counted(rows))


def test_the_batches_know_the_lengths_of_the_epoch():
    rows = Resampled(Counted(102), repeats(LABELS, "under", single=True), seed=1)
    batches = LengthGroupedBatches(rows.lengths, 3, seed=1)
    rows.renew(2)
    for batch in batches:
        drawn = rows.batch(batch)["rows"].tolist()
        assert sorted(drawn) == drawn, "a batch is dealt in the order of its lengths"


def test_each_row_is_drawn_as_its_share_says():
    share = np.array([0.5, 2.5, 1.0])
    times = sum(np.bincount(draw(share, 4, np.random.default_rng(seed)), minlength=3) for seed in range(400)) / 400
    assert times == pytest.approx(share, abs=0.1)
