"""Rows that are made anew in every epoch."""

from collections.abc import Callable, Sequence

import numpy as np

from tunewright.job.batches.side import Batch, Rows

Make = Callable[[list[int], list[np.random.Generator]], Batch]
"""Row numbers, and random numbers for each, to a batch with its targets."""


class Augmented:
    """Training rows otherwise in every epoch: what becomes of a row depends on seed, epoch and row alone, and of one
    that an epoch has several times on which time it is."""

    def __init__(self, plain: Rows, make: Make, seed: int) -> None:
        self.plain, self._make, self._seed, self._epoch = plain, make, seed, 1
        self.lengths, self.truncated = plain.lengths, plain.truncated

    def __len__(self) -> int:
        return len(self.plain)

    def renew(self, epoch: int) -> None:
        """Change the rows otherwise from now on."""
        self._epoch = epoch

    def batch(self, rows: Sequence[int]) -> Batch:
        """These rows, each for the first time."""
        return self.copies(rows, [0] * len(rows))

    def copies(self, rows: Sequence[int], times: Sequence[int]) -> Batch:
        """These rows, each for the so manieth time in this epoch."""
        randoms = [
            np.random.default_rng([self._seed, self._epoch, row, time]) for row, time in zip(rows, times, strict=True)
        ]
        return self._make(list(rows), randoms)
