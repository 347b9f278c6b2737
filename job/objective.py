"""What training reads and what it makes small: rows in batches, a loss, and the figure that tells the best epoch.

Axes: N rows, B rows of a batch, L labels (1 for regression).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float32]
Targets = Any
"""What the loss compares with, by row: `[N]` label numbers, `[N, L]` zeros and ones, `[N]` numbers; None where the
encoded rows carry it."""
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
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


class NoRows:
    """A side that has none."""

    lengths: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    truncated = 0

    def __len__(self) -> int:
        return 0

    def batch(self, rows: Sequence[int]) -> Batch:
        """There is nothing to read."""
        raise IndexError("there are no rows")


Scored = Iterator[tuple[list[int], Batch, torch.Tensor]]
"""Row numbers, the batch (with its targets) and the logits of each batch of a side, in any order."""


def forward(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The logits of a batch without its targets."""
    logits: torch.Tensor = model(**batch)["logits"]
    return logits


@dataclass(frozen=True)
class Objective:
    """What training makes small, and what tells the best epoch."""

    loss: Loss
    """Logits in the unit of the targets, and targets, to one number."""
    measure: Callable[[Scored], dict[str, float]]
    """The scored batches of the validation side to figures."""
    metric: str
    """The figure that decides."""
    scale: tuple[float, float] = (0.0, 1.0)
    """Offset and factor from the last layer's output to the unit of the targets."""
    forward: Callable[[nn.Module, Batch], torch.Tensor] = forward
    """The model and a batch without its targets to logits."""
    validation_tokens: int = 4096
    """Padded tokens of one validation batch."""
    weight: Callable[[torch.Tensor], float] = len
    """What the mean of `loss` is a mean over: rows, words or tokens that are learned, or the sum of their weights."""
    divisible: bool = True
    """Whether a batch may go through the model in parts: its loss is a mean, and rows cost what they are long."""

    def better(self, figure: float, than: float) -> bool:
        """Whether a figure beats another one."""
        return figure < than if lower_is_better(self.metric) else figure > than


def lower_is_better(metric: str) -> bool:
    """Whether a figure of this name is an error."""
    return metric in ("rmse", "loss", "perplexity")
