"""Losses of more than one answer: two passes that shall agree (R-Drop), two rows that are mixed (mixup); and L1.

Axes: B rows of a batch, T tokens, D hidden size, L labels.
"""

import json
import re
from collections.abc import Callable

import torch
import torch.nn.functional as functional
from torch import nn

from tunewright.job.batches.text import NO_LABEL
from tunewright.job.errors import BaseModelError, SettingsError
from tunewright.job.model.classifiers import last_layer
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.objective import Apart, Objective

Answer = Callable[[], torch.Tensor]
"""The logits of a batch; with dropout others at each call."""
BatchLoss = Callable[[Answer, torch.Tensor], torch.Tensor]


def batch_loss(model: nn.Module, objective: Objective, settings: TrainSettings) -> BatchLoss:
    """What a step makes small of a batch: the loss of the objective, of two passes or of mixed rows where asked for."""
    if settings.mixup:
        return _mixed(model, objective, settings.mixup)
    if settings.r_drop:
        if not (settings.layer_drop or _has_dropout(model)):
            raise SettingsError(
                "train.r_drop would have no effect: this model has no dropout, so that two passes agree; set "
                "train.dropout or train.layer_drop, or remove it"
            )
        return _agreeing(objective, settings.r_drop)
    return lambda answer, targets: objective.loss(answer(), targets)


def _has_dropout(model: nn.Module) -> bool:
    config = getattr(model, "config", None)
    stated = json.dumps(config.to_dict(), default=str) if config else ""
    in_functions = any(float(share) > 0 for share in re.findall(r'"\w*(?:dropout|pdrop)\w*": ([0-9.]+)', stated))
    return in_functions or any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules())


def _agreeing(objective: Objective, strength: float) -> BatchLoss:
    """The mean loss of two passes and how far they are apart (R-Drop, Wu et al. 2021, arXiv 2106.14448)."""
    apart = objective.apart
    assert apart is not None

    def loss(answer: Answer, targets: torch.Tensor) -> torch.Tensor:
        one, other = answer(), answer()
        both = (objective.loss(one, targets) + objective.loss(other, targets)) / 2
        return both + strength * apart(one, other, targets)

    return loss


def _mixed(model: nn.Module, objective: Objective, alpha: float) -> BatchLoss:
    """Rows mixed where the last layer reads them, with both of their targets (Verma et al. 2019, arXiv 1806.05236; of
    sentences Guo et al. 2019, arXiv 1905.08941)."""
    beta = torch.distributions.Beta(alpha, alpha)
    head = last_layer(model)

    def loss(answer: Answer, targets: torch.Tensor) -> torch.Tensor:
        order, share = torch.randperm(len(targets)).to(targets.device), float(beta.sample())

        def mix(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            (given,) = args
            if given.ndim != 2 or len(given) != len(order):
                raise BaseModelError(
                    "train.mixup cannot be: this model's last layer reads no one vector a row; remove it"
                )
            return (share * given + (1 - share) * given[order],)

        handle = head.register_forward_pre_hook(mix)
        try:
            logits = answer()
        finally:
            handle.remove()
        return share * objective.loss(logits, targets) + (1 - share) * objective.loss(logits, targets[order])

    return loss


def apart_of(problem: str, unit: float = 1.0) -> Apart:
    """How far two answers are apart: half the divergence both ways, the mean over rows or words; of numbers the squared
    difference in their `unit`."""
    if problem == "multi_label":
        return lambda one, other, _: _both_ways(_two_sided(one), _two_sided(other))
    if problem == "regression":
        return lambda one, other, _: (((one - other) / unit) ** 2).mean()

    def apart(one: torch.Tensor, other: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if targets.ndim == one.ndim - 1 and one.ndim == 3:
            words = targets != NO_LABEL
            one, other = one[words], other[words]
        return _both_ways(one, other)

    return apart


def _two_sided(logits: torch.Tensor) -> torch.Tensor:
    """Logits of present or absent to those of a choice between the two."""
    return torch.stack([logits, torch.zeros_like(logits)], dim=-1).flatten(0, 1)


def _both_ways(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    p, q = one.log_softmax(-1), other.log_softmax(-1)
    there, back = (functional.kl_div(a, b, log_target=True, reduction="batchmean") for a, b in ((p, q), (q, p)))
    return (there + back) / 2


@torch.no_grad()
def shrink(optimizer: torch.optim.Optimizer, strength: float) -> None:
    """L1: draw the weights towards 0 by the learning rate times `strength`, and those that reach it to 0 (the proximal
    step of lasso, decoupled from the gradient as weight decay is); biases and normalization are left alone."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.ndim > 1 and weight.grad is not None:
                weight.copy_(functional.softshrink(weight, group["lr"] * strength))
