"""The head in closed form: a linear layer fitted to the vectors of a frozen encoder, and written into the model.

Axes: N rows, B rows of a batch, D hidden size, L labels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tunewright.job.batches.side import Array, Batch, Rows, Targets
from tunewright.job.model.classifiers import last_layer
from tunewright.serving.runtime.runs import plan_runs

_TOKENS = 4096
"""Padded tokens of one batch."""
_SURE = 20.0
"""Logit of a label that all training rows have; minus it for one that none has."""

Head = tuple[Array, Array]
"""Weight `[L, D]` and bias `[L]`."""


def pooled(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The vectors `[B, D]` that the head of a mean-pooled encoder reads."""
    vectors: torch.Tensor = model.pooled(**batch)  # type: ignore[operator]
    return vectors


@torch.no_grad()
def embed(model: nn.Module, rows: Rows) -> Array:
    """The vectors of all rows, `[N, D]`, as the head will see them: without dropout."""
    model.eval()
    device = next(model.parameters()).device
    vectors = np.empty((len(rows), last_layer(model).in_features), dtype=np.float32)
    for numbers in plan_runs(rows.lengths.tolist(), _TOKENS):
        batch = {name: tensor.to(device) for name, tensor in rows.batch(numbers).items() if name != "targets"}
        vectors[numbers] = pooled(model, batch).float().cpu().numpy()
    return vectors


def fit_head(vectors: Array, targets: Targets, problem: str, *, c: float = 10.0) -> Head:
    """Logistic regression with the inverse penalty `c` (one for each label in a multi-label problem), or ridge.

    Every label of a single-label problem must stand in the targets. The penalty works on vectors of mean square
    length 1, whatever length the encoder gives them.
    """
    scale = float(np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1).mean())) or 1.0
    weight, bias = _FITS[problem](vectors / scale, targets, c)
    return np.asarray(weight / scale, dtype=np.float32), np.asarray(bias, dtype=np.float32)


def _fit_single(vectors: Array, targets: Targets, c: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=c, max_iter=1000).fit(vectors, targets)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(weight) == 1:
        # Two labels have one row of weights: the difference between them.
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias


def _fit_multi(vectors: Array, targets: Targets, c: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression

    weight, bias = np.zeros((targets.shape[1], vectors.shape[1])), np.empty(targets.shape[1])
    for label, present in enumerate(targets.T > 0):
        if present.all() or not present.any():
            bias[label] = _SURE if present.all() else -_SURE
        else:
            fitted = LogisticRegression(C=c, max_iter=1000).fit(vectors, present)
            weight[label], bias[label] = fitted.coef_[0], fitted.intercept_[0]
    return weight, bias


def _fit_number(vectors: Array, targets: Targets, c: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.linear_model import Ridge

    fitted = Ridge(alpha=1 / c).fit(vectors, targets)
    return fitted.coef_[None], np.array([fitted.intercept_])


_FITS = {"single_label": _fit_single, "multi_label": _fit_multi, "regression": _fit_number}


def apply_head(vectors: Array, head: Head) -> Array:
    """Vectors `[N, D]` to outputs `[N, L]`."""
    weight, bias = head
    return np.asarray(vectors @ weight.T + bias, dtype=np.float32)


def write_head(model: nn.Module, head: Head) -> None:
    """Put a fitted head into the model's last layer."""
    weight, bias = head
    with torch.no_grad():
        last_layer(model).weight.copy_(torch.from_numpy(weight))
        last_layer(model).bias.copy_(torch.from_numpy(bias))
