"""Some rows of a side."""

from collections.abc import Sequence

import numpy as np

from tunewright.job.batches.side import Batch, Rows


def as_they_are(rows: Rows) -> Rows:
    """Training rows before they are changed, or drawn."""
    while (plain := getattr(rows, "plain", None)) is not None:
        rows = plain
    return rows


class Sample:
    """So many rows, spread evenly over all of them and as they are: not augmented, none of them twice."""

    def __init__(self, rows: Rows, count: int) -> None:
        self._rows = as_they_are(rows)
        self.numbers = np.unique(np.linspace(0, len(self._rows) - 1, min(count, len(self._rows))).astype(np.int64))
        self.lengths = self._rows.lengths[self.numbers]
        self.truncated = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def batch(self, rows: Sequence[int]) -> Batch:
        """These of the sample."""
        return self._rows.batch(self.numbers[list(rows)].tolist())
