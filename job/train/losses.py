"""What training makes small: cross-entropy of labels (weighted, smoothed, adjusted, focal), squared error or Huber.

Axes: N rows, B rows of a batch, L labels (1 for a number).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from tunewright.job.batches.side import Array, HeldTargets, Targets
from tunewright.job.errors import SettingsError
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.objective import Loss

_REPEATED = 0.999
"""How likely a further row of a label says nothing new: the hyperparameter of the effective number."""


def label_loss(settings: TrainSettings, labels: Sequence[str], targets: HeldTargets, problem: str) -> Loss:
    """Cross-entropy or binary cross-entropy, in the form the settings ask for."""
    weights = _weights(settings, labels, targets, problem)
    if problem == "multi_label":
        return _binary_loss(weights, settings.focal_gamma)
    loss = _categorical_loss(weights, settings.focal_gamma, settings.label_smoothing)
    return _adjusted(loss, targets, len(labels), settings.logit_adjustment) if settings.logit_adjustment else loss


def label_weight(
    settings: TrainSettings, labels: Sequence[str], targets: HeldTargets, problem: str
) -> Callable[[torch.Tensor], float]:
    """What the loss is a mean over: the rows, or the weights of their labels."""
    weights = _weights(settings, labels, targets, problem)
    # Of another loss nothing is known.
    if weights is None or problem == "multi_label" or settings.focal_gamma or settings.loss:
        return len
    return lambda wanted: float(weights[wanted.cpu()].sum())


def _weights(settings: TrainSettings, labels: Sequence[str], targets: HeldTargets, problem: str) -> torch.Tensor | None:
    given = settings.class_weights
    if given is None:
        return None
    if isinstance(given, str):
        by_count = _balanced if given == "balanced" else _effective
        return torch.tensor(by_count(targets, len(labels), problem), dtype=torch.float32)
    unknown = sorted(set(given) - set(labels))
    if unknown:
        raise SettingsError(f"train.class_weights names {unknown[0]!r}; the labels are {', '.join(labels)}")
    return torch.tensor([given.get(label, 1.0) for label in labels], dtype=torch.float32)


def _balanced(targets: HeldTargets, labels: int, problem: str) -> Array:
    """Single label: N / (L * count), as in scikit-learn. Multi label: sqrt(absent / present), which keeps rare
    labels from drowning every other (the plain ratio is over 500 for a label in 0.2 % of the rows)."""
    if problem == "single_label":
        # A label may have no row on this side of the split: it counts as one.
        counts = np.bincount(targets, minlength=labels).clip(min=1)
        return np.asarray(len(targets) / (labels * counts), dtype=np.float32)
    present = targets.sum(axis=0).clip(1, len(targets) - 1)
    return np.asarray(np.sqrt((len(targets) - present) / present), dtype=np.float32)


def _effective(targets: HeldTargets, labels: int, problem: str) -> Array:
    """By the effective number of rows, (1 - b^n) / (1 - b) with b = 0.999 (Cui et al. 2019, arXiv 1901.05555). Single
    label: its inverse, 1 on the average. Multi label: that of the absent rows by that of the present ones."""
    if problem == "single_label":
        weights = 1 / _effective_number(np.bincount(targets, minlength=labels).clip(min=1))
        return np.asarray(weights / weights.mean(), dtype=np.float32)
    present = targets.sum(axis=0).clip(1, len(targets) - 1)
    return np.asarray(_effective_number(len(targets) - present) / _effective_number(present), dtype=np.float32)


def _effective_number(rows: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.asarray((1 - _REPEATED ** rows.astype(np.float64)) / (1 - _REPEATED))


def _adjusted(loss: Loss, targets: HeldTargets, labels: int, strength: float) -> Loss:
    """The loss of logits to which the log share of each label is added (Menon et al. 2021, arXiv 2007.07314)."""
    counts = np.bincount(targets, minlength=labels).clip(min=1)
    shift = torch.tensor(strength * np.log(counts / counts.sum()), dtype=torch.float32)
    return lambda logits, wanted: loss(logits + shift.to(logits.device), wanted)


def _categorical_loss(weights: torch.Tensor | None, gamma: float, smoothing: float) -> Loss:
    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weight = None if weights is None else weights.to(logits.device)
        if not gamma:
            return functional.cross_entropy(logits, targets, weight, label_smoothing=smoothing)
        rows = functional.cross_entropy(logits, targets, weight, label_smoothing=smoothing, reduction="none")
        right = logits.softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
        return ((1 - right) ** gamma * rows).mean()

    return loss


def _binary_loss(weights: torch.Tensor | None, gamma: float) -> Loss:
    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weight = None if weights is None else weights.to(logits.device)
        cells = functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="none")
        if gamma:
            right = torch.where(targets > 0.5, logits.sigmoid(), (-logits).sigmoid())
            cells = (1 - right) ** gamma * cells
        return cells.mean()

    return loss


def output_scale(targets: Targets) -> tuple[float, float]:
    """Mean and standard deviation of the training targets: the last layer learns numbers around 0 of size 1."""
    deviation = float(targets.std(dtype=np.float64))
    return float(targets.mean(dtype=np.float64)), deviation if deviation > 0 else 1.0


def number_loss(settings: TrainSettings, targets: HeldTargets) -> Loss:
    """Squared error or Huber loss in units of the training targets' standard deviation."""
    _, deviation = output_scale(targets[:])
    delta = settings.huber_delta

    def loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        error = (logits[:, 0] - wanted) / deviation
        if delta is None:
            return (error**2).mean()
        return functional.huber_loss(error, torch.zeros_like(error), delta=delta)

    return loss
