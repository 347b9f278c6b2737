"""Rows that are made anew in every epoch."""

import numpy as np
import torch

from tunewright.job.batches.augment.rows import Augmented
from tunewright.job.batches.resampled import Resampled
from tunewright.job.batches.sample import Sample


class Plain:
    """Rows that say which they are."""

    truncated = 0
    lengths = np.arange(1, 6)

    def __len__(self):
        return 5

    def batch(self, rows):
        return {"targets": torch.tensor(rows), "drawn": torch.zeros(len(rows))}


def drawn(rows, randoms):
    return {"targets": torch.tensor(rows), "drawn": torch.tensor([random.random() for random in randoms])}


def of(rows, numbers):
    return rows.batch(numbers)["drawn"].tolist()


def test_a_row_is_changed_by_seed_epoch_and_number_alone():
    rows, other = Augmented(Plain(), drawn, seed=1), Augmented(Plain(), drawn, seed=2)
    first = of(rows, [0, 1, 2])
    assert of(rows, [2]) == first[2:]
    assert len(set(first)) == 3
    assert of(other, [0, 1, 2]) != first
    rows.renew(2)
    assert of(rows, [0, 1, 2]) != first
    rows.renew(1)
    assert of(rows, [0, 1, 2]) == first


def test_a_row_that_an_epoch_has_several_times_is_another_each_time():
    rows = Resampled(Augmented(Plain(), drawn, seed=1), np.array([1.0, 1.0, 1.0, 1.0, 6.0]), seed=1)
    batch = rows.batch(range(len(rows)))
    assert len(set(batch["drawn"].tolist())) == len(rows) == 10
    rows.renew(2)
    assert rows.batch(range(len(rows)))["drawn"].tolist() != batch["drawn"].tolist()


def test_what_is_measured_of_them_is_not_changed():
    rows = Resampled(Augmented(Plain(), drawn, seed=1), np.ones(5), seed=1)
    assert of(Sample(rows, 5), range(5)) == [0.0] * 5
