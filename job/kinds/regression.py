"""Regression: one number per input.

Loss: squared error or Huber, in standard deviations of the training targets. The last layer learns numbers of
size 1; the exported graph answers in the unit of the data.
"""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from scipy.stats import pearsonr, spearmanr

from tunewright.job.batches.side import Array, Targets
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.settings.job import TrainSettings
from tunewright.job.train.objective import Loss

_LARGEST = 1e15
"""Numbers are learned in float32, which has seven digits and squares that end at 1e38."""

_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|inf(?:inity)?)", re.IGNORECASE)


def read_target(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("is not a number")
    # Python reads more than data means: 1_3 is 13 to it, and digits of every script are.
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError("is not a number (use a point for decimals, nothing for thousands)")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("is not a finite number")
    if abs(number) > _LARGEST:
        raise ValueError(f"is too large (beyond {_LARGEST:g}); give the column another unit")
    return number


def learn_labels(targets: Sequence[float], role: str) -> list[str]:
    """The name of the column's role. DataError when all numbers are equal."""
    if len(set(targets)) < 2:
        raise DataError(f"all training rows have the same score ({targets[0]:g}): there is nothing to learn")
    return [role]


def encode_targets(targets: Sequence[float]) -> Targets:
    """`[N]` float32."""
    return np.asarray(targets, dtype=np.float32)


def output_scale(targets: Targets) -> tuple[float, float]:
    """Mean and standard deviation of the training targets: the last layer learns numbers around 0 of size 1."""
    deviation = float(targets.std(dtype=np.float64))
    return float(targets.mean(dtype=np.float64)), deviation if deviation > 0 else 1.0


def make_loss(settings: TrainSettings, targets: Targets) -> Loss:
    """Squared error or Huber loss in units of the training targets' standard deviation."""
    for name in ("class_weights", "label_smoothing", "focal_gamma"):
        if getattr(settings, name):
            raise SettingsError(f"train.{name} belongs to classification; remove it from a regression")
    _, deviation = output_scale(targets)
    delta = settings.huber_delta

    def loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        error = (logits[:, 0] - wanted) / deviation
        if delta is None:
            return (error**2).mean()
        return functional.huber_loss(error, torch.zeros_like(error), delta=delta)

    return loss


def metrics(logits: Array, targets: Targets) -> dict[str, float]:
    """Spearman's and Pearson's correlation (0 where an answer is constant) and the root mean squared error."""
    answers = logits[:, 0]
    constant = np.ptp(answers) == 0 or np.ptp(targets) == 0
    return {
        "spearman": 0.0 if constant else float(spearmanr(answers, targets).statistic),
        "pearson": 0.0 if constant else float(pearsonr(answers, targets).statistic),
        "rmse": float(np.sqrt(np.mean((answers - targets).astype(np.float64) ** 2))),
    }
