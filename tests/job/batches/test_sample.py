"""Some rows of a side."""

import numpy as np
import torch

from tunewright.job.batches.sample import Sample


class Numbered:
    """Rows that say which they are."""

    truncated = 0

    def __init__(self, rows):
        self.lengths = np.arange(rows)

    def __len__(self):
        return len(self.lengths)

    def batch(self, rows):
        return {"targets": torch.tensor(rows)}


class Changed(Numbered):
    """The same rows, otherwise than they are."""

    def __init__(self, plain):
        super().__init__(3)
        self.plain = plain


def test_it_is_spread_over_all_rows():
    some = Sample(Numbered(101), 5)
    assert some.batch(range(len(some)))["targets"].tolist() == [0, 25, 50, 75, 100]
    assert some.lengths.tolist() == [0, 25, 50, 75, 100]


def test_there_are_no_more_rows_than_there_are():
    assert len(Sample(Numbered(3), 500)) == 3


def test_rows_are_read_as_they_are():
    assert len(Sample(Changed(Numbered(9)), 500)) == 9
