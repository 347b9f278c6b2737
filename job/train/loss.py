"""Losses: what training can make small."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.job.settings.train import TrainSettings
from tunewright.registry.plugins import Catalogue

if TYPE_CHECKING:
    import torch

    from tunewright.job.batches.side import HeldTargets

    LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    Make = Callable[[TrainSettings, Sequence[str], HeldTargets], LossFunction]


@dataclass(frozen=True)
class Loss:
    """What training makes small.

    Logits `[B, L]` and targets: `[B]` label numbers, `[B, L]` zeros and ones, `[B]` numbers. Of tags
    each word is a row.
    """

    name: str
    problems: tuple[str, ...]
    make: "Make"
    """The settings, the labels and the targets of the training rows to a mean over the rows of a batch."""
    uses: frozenset[str] = frozenset()
    """Settings of losses that it uses: `class_weights`, `label_smoothing`, `focal_gamma`, `logit_adjustment`,
    `huber_delta`."""


def _cross_entropy(settings: TrainSettings, labels: Sequence[str], targets: "HeldTargets") -> "LossFunction":
    from tunewright.job.train.losses import label_loss

    return label_loss(settings, labels, targets, "single_label")


def _binary(settings: TrainSettings, labels: Sequence[str], targets: "HeldTargets") -> "LossFunction":
    from tunewright.job.train.losses import label_loss

    return label_loss(settings, labels, targets, "multi_label")


def _squared_error(settings: TrainSettings, labels: Sequence[str], targets: "HeldTargets") -> "LossFunction":
    from tunewright.job.train.losses import number_loss

    return number_loss(settings, targets)


_BUILT_IN = (
    Loss(
        "cross_entropy",
        ("single_label", "entities", "tags"),
        _cross_entropy,
        frozenset({"class_weights", "label_smoothing", "focal_gamma", "logit_adjustment"}),
    ),
    Loss("binary_cross_entropy", ("multi_label",), _binary, frozenset({"class_weights", "focal_gamma"})),
    Loss("squared_error", ("regression",), _squared_error, frozenset({"huber_delta"})),
)
LOSSES = Catalogue("loss", "tunewright.losses", Loss, {one.name: one for one in _BUILT_IN})
"""Every loss by its name."""


def loss_of(settings: TrainSettings, problem: str, labels: Sequence[str], targets: "HeldTargets") -> "LossFunction":
    """The loss that the settings name, else the usual one of the problem."""
    usual = next(one.name for one in _BUILT_IN if problem in one.problems)
    return LOSSES[settings.loss or usual].make(settings, labels, targets)
