"""The rows of one side as the doctor reads them: a batch at a time, never all at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.dataset import Dataset
from tunewright.job.data.doctor.finding import SHOWN, Example

Texts = tuple[str, ...]
"""The texts of one row: two of a pair."""
LONGEST = 2000
"""Characters of a text that are compared and searched."""


@dataclass(frozen=True)
class Side:
    """One side of the data, and how its rows are read."""

    name: str
    data: Dataset
    keys: NDArray[np.uint64]
    """One number per row, equal for equal texts."""
    texts_of: Callable[[object], Texts]
    """The texts of a checked input; none of what is no text."""
    labels_of: Callable[[object], Sequence[str]]
    """The labels of a checked target; none where it is something else."""
    files: Sequence[str]
    """The addresses of the files its rows were read from."""

    def __len__(self) -> int:
        return len(self.data)

    def rows(self, most: int | None = None) -> Iterator[tuple[Texts, object]]:
        """The texts and the target of each row, in order."""
        data = self.data if most is None or most >= len(self) else self.data.select(range(most))
        for inputs, targets in data.batches():
            for value, target in zip(inputs, targets, strict=True):
                yield tuple(text[:LONGEST] for text in self.texts_of(value)), target

    def texts_at(self, positions: NDArray[np.int64]) -> list[Texts]:
        """The texts of these rows."""
        inputs = (value for some, _ in self.data.select(positions).batches() for value in some)
        return [tuple(text[:LONGEST] for text in self.texts_of(value)) for value in inputs]

    def examples(self, positions: Iterable[int]) -> tuple[Example, ...]:
        """The first few of these rows by where they stand."""
        first = np.fromiter((at for at, _ in zip(positions, range(SHOWN), strict=False)), dtype=np.int64)
        places = self.data.select(first).places()
        return tuple(Example(self.name, self.files[place.file], place.line) for place in places)
