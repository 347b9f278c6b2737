"""The labels of many rows in a few bytes each: their numbers, and once what each of them is called."""

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 4096
"""Rows that are made lists of at a time, while all are walked through."""


class LabelLists(Sequence[list[str]]):
    """The labels of each row. Reads as a list of lists of texts; takes 8 bytes a row and 4 a label."""

    def __init__(self, rows: Iterable[Sequence[str]]) -> None:
        numbers, starts = array("i"), array("q", [0])
        place: dict[str, int] = {}
        for row in rows:
            numbers.extend([place.setdefault(label, len(place)) for label in row])
            starts.append(len(numbers))
        self.names = list(place)
        """What the numbers stand for, in the order in which the rows have them."""
        self.numbers: NDArray[np.int32] = np.frombuffer(numbers, dtype=np.int32)
        """The labels of all rows, one row after another."""
        self.starts: NDArray[np.int64] = np.frombuffer(starts, dtype=np.int64)
        """`[N + 1]`: row i has the labels `numbers[starts[i]:starts[i + 1]]`."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, row: int) -> list[str]: ...

    @overload
    def __getitem__(self, row: slice) -> list[list[str]]: ...

    def __getitem__(self, row: int | slice) -> list[str] | list[list[str]]:
        if isinstance(row, slice):
            return [self[one] for one in range(len(self))[row]]
        at = range(len(self))[row]
        return [self.names[number] for number in self.numbers[self.starts[at] : self.starts[at + 1]].tolist()]

    def __iter__(self) -> Iterator[list[str]]:
        for at in range(0, len(self), _AT_ONCE):
            starts = self.starts[at : at + _AT_ONCE + 1]
            names = [self.names[number] for number in self.numbers[starts[0] : starts[-1]].tolist()]
            ends = (starts - starts[0]).tolist()
            for start, end in itertools.pairwise(ends):
                yield names[start:end]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def counts(self) -> NDArray[np.int64]:
        """How often the labels of `names` stand in the rows."""
        return np.bincount(self.numbers, minlength=len(self.names))
