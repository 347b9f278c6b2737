"""One side of the data as the training loop reads it: rows, put together in batches of tensors.

Axes: N rows, B rows of a batch, L labels (1 for regression).
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from tunewright.job.batches.label_sets import LabelSets

Array = NDArray[np.float32]


Targets = NDArray[np.int64] | NDArray[np.float32]
"""What the loss compares with, by row: `[N]` label numbers, `[N, L]` zeros and ones, `[N]` numbers; `[0]` where the
encoded rows carry it."""
HeldTargets = Targets | LabelSets
"""The same of all rows of a side: several labels a row are never `[N, L]` at once."""
NO_TARGETS: Targets = np.zeros(0, dtype=np.float32)


Batch = dict[str, torch.Tensor]


class Rows(Protocol):
    """One side of the data as the training loop reads it."""

    lengths: NDArray[np.int64]
    """What a row costs (tokens), `[N]`: rows of like length share a batch."""
    truncated: int
    """Rows of which a part was left out."""

    def __len__(self) -> int: ...

    def batch(self, rows: Sequence[int]) -> Batch:
        """The model's inputs `[B, ...]` of these rows, and their `targets`."""


@runtime_checkable
class Renewed(Protocol):
    """Training rows that differ from epoch to epoch, as masked ones do."""

    def renew(self, epoch: int) -> None:
        """Called before each epoch, which are counted from 1."""


@runtime_checkable
class Copied(Protocol):
    """Training rows that are another thing each time an epoch has them, as augmented ones are."""

    def copies(self, rows: Sequence[int], times: Sequence[int]) -> Batch:
        """These rows, each for the so manieth time in this epoch, counted from 0."""


@runtime_checkable
class Flat(Protocol):
    """Rows of tokens that can come one after another without padding, with the bounds of each text."""

    flat: bool
    """Whether batches are made so."""


class NoRows:
    """A side that has none."""

    lengths: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    truncated = 0

    def __len__(self) -> int:
        return 0

    def batch(self, rows: Sequence[int]) -> Batch:
        """There is nothing to read."""
        raise IndexError("there are no rows")
