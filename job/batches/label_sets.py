"""Several labels a row, held as the numbers of those that are there: a row of a thousand labels costs what it has.

Axes: N rows, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Positions = Sequence[int] | NDArray[np.int64] | slice


@dataclass(frozen=True, eq=False)
class LabelSets:
    """Zeros and ones `[N, L]` that are made for the rows asked for, as an array of numpy gives them: `sets[rows]`."""

    starts: NDArray[np.int64]
    """`[N + 1]`: row i has the labels `numbers[starts[i]:starts[i + 1]]`."""
    numbers: NDArray[np.int32]
    """No label twice in a row."""
    width: int
    """L"""

    ndim: ClassVar[int] = 2

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """`(N, L)`"""
        return len(self), self.width

    def __getitem__(self, rows: Positions) -> Array:
        """Zeros and ones of these rows; of all of them with `[:]`."""
        chosen = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        some = self.take(np.asarray(chosen, dtype=np.int64))
        dense = np.zeros(some.shape, dtype=np.float32)
        dense[np.repeat(np.arange(len(some)), np.diff(some.starts)), some.numbers] = 1.0
        return dense

    def __array__(self, dtype: object = None, copy: bool | None = None) -> Array:
        """Zeros and ones of all rows, where an array is asked for."""
        return self[:]

    def take(self, rows: NDArray[np.int64]) -> "LabelSets":
        """These rows, held in the same way."""
        sizes = self.starts[rows + 1] - self.starts[rows]
        starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        # The place of each label: how far it is from the start of its row, and where that row is.
        places = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], sizes)
        return LabelSets(starts, self.numbers[places], self.width)

    def sum(self, axis: int = 0) -> Array:
        """Rows of each label, `[L]`, as an array of zeros and ones sums them up over axis 0."""
        if axis != 0:
            raise ValueError(f"axis is {axis}; label sets are summed over their rows, axis 0")
        return np.bincount(self.numbers, minlength=self.width).astype(np.float32)
