"""What training reads and what it makes small: rows in batches, a loss, and the figure that tells the best epoch.

Axes: N rows, B rows of a batch, L labels (1 for regression).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from tunewright.job.batches.side import Batch, Rows
from tunewright.serving.runtime.runs import plan_runs

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


Apart = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Two answers to one batch and its targets to how far the answers are apart."""
Scored = Iterator[tuple[list[int], Batch, torch.Tensor]]
"""Row numbers, the batch (with its targets) and the logits of each batch of a side, in any order."""


Watch = Callable[[Mapping[str, float]], None]


def nobody(figures: Mapping[str, float]) -> None:
    """Watches nothing."""


def forward(model: nn.Module, batch: Mapping[str, torch.Tensor | bool]) -> torch.Tensor:
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
    lower_is_better: bool = False
    """Whether that figure is an error."""
    scale: tuple[float, float] = (0.0, 1.0)
    """Offset and factor from the last layer's output to the unit of the targets."""
    forward: Callable[[nn.Module, Batch], torch.Tensor] = forward
    """The model and a batch without its targets to logits."""
    validation_tokens: int = 4096
    """Padded tokens of one validation batch."""
    learned_tokens: int | None = None
    """Padded tokens that may go through the model at a time in training, where its answer is large; None: as many as
    the device takes."""
    weight: Callable[[torch.Tensor], float] = len
    """What the mean of `loss` is a mean over: rows, words or tokens that are learned, or the sum of their weights."""
    idle: str = ""
    """Why nothing is trained; empty where there is something to learn."""
    divisible: bool = True
    """Whether a batch may go through the model in parts: its loss is a mean, and rows cost what they are long."""
    is_mean: bool = True
    """Whether the loss of a batch is the mean of those of its rows, so that processes can share its rows."""

    apart: Apart | None = None
    """For R-Drop, where answers can be compared."""
    gauged: bool = False
    """Whether `measure` takes training rows too, whose figures stand beside those of validation."""
    watch: Watch = nobody
    """Told the figures whenever they are measured, none where there are no validation rows; what it raises ends the
    training."""

    def better(self, figure: float, than: float) -> bool:
        """Whether a figure beats another one."""
        return figure < than if self.lower_is_better else figure > than


@torch.no_grad()
def scored(model: nn.Module, rows: Rows, objective: Objective) -> Scored:
    """The rows with their logits, by a model that learns nothing now, where it stands."""
    device = next(model.parameters()).device
    for numbers in plan_runs(rows.lengths.tolist(), objective.validation_tokens):
        batch = {name: tensor.to(device) for name, tensor in rows.batch(numbers).items()}
        inputs = {name: tensor for name, tensor in batch.items() if name != "targets"}
        yield numbers, batch, objective.forward(model, inputs).float()
