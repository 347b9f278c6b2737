"""How well labels are told: accuracy, F1, Matthews' coefficient, a table by label; thresholds of several labels.

Axes: N rows, L labels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, matthews_corrcoef, precision_recall_fscore_support

from tunewright.job.batches.side import Array, Targets
from tunewright.serving.runtime.scores import scores


def tune_thresholds(logits: Array, targets: Targets, problem: str) -> list[float] | None:
    """Multi label: for each label the score that gives the best F1 on these rows; 0.5 where there is none to find."""
    if problem == "single_label":
        return None
    probabilities = scores(logits, "sigmoid")
    return [_best_threshold(probabilities[:, label], targets[:, label]) for label in range(logits.shape[1])]


def _best_threshold(scores: Array, truth: Targets) -> float:
    """The middle between two neighbouring scores where F1 = 2 TP / (predicted + present) is largest."""
    if not truth.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    true_positives = np.cumsum(truth[order])
    f1 = 2 * true_positives / (np.arange(1, len(order) + 1) + truth.sum())
    # A cut between equal scores cannot be made.
    f1[:-1][ranked[:-1] == ranked[1:]] = 0
    best = int(f1.argmax())
    following = ranked[best + 1] if best + 1 < len(ranked) else np.float32(0)
    middle = np.float32((ranked[best] + following) / 2)
    # Between two numbers that are neighbours in float32 there is none.
    return float(middle if middle > following else ranked[best])


def _predicted(logits: Array, thresholds: Sequence[float] | None) -> NDArray[Any]:
    """`[N]` label numbers, or `[N, L]` zeros and ones where there are thresholds."""
    if thresholds is None:
        return np.asarray(logits.argmax(axis=-1))
    return (scores(logits, "sigmoid") >= np.asarray(thresholds, dtype=np.float32)).astype(np.float32)


def metrics(
    logits: Array, targets: Targets, problem: str, thresholds: Sequence[float] | None = None
) -> dict[str, float]:
    """The figures of `metric_names`; several labels are predicted from their thresholds, 0.5 where none are given."""
    if problem == "single_label":
        predicted = _predicted(logits, None)
        return {
            "accuracy": float((predicted == targets).mean()),
            # Over the labels there are, predicted or not: those that stand in neither have no F1.
            "macro_f1": float(f1_score(targets, predicted, average="macro", zero_division=0)),
            "mcc": float(matthews_corrcoef(targets, predicted)),
        }
    predicted = _predicted(logits, thresholds or [0.5] * logits.shape[1])
    # What training never saw is never predicted.
    predicted = np.pad(predicted, ((0, 0), (0, targets.shape[1] - logits.shape[1])))
    right, found = (predicted * targets).sum(axis=0), predicted.sum(axis=0) + targets.sum(axis=0)
    return {
        "macro_f1": float(_f1(right, found).mean()),
        "micro_f1": float(_f1(right.sum(), found.sum())),
        "accuracy": float((predicted == targets).all(axis=-1).mean()),
    }


def _f1(right: NDArray[Any], found: NDArray[Any]) -> NDArray[Any]:
    """2 TP / (predicted + present), 0 where there is neither; an interval asks for it hundreds of times."""
    return np.asarray(2 * right / np.maximum(found, 1), dtype=np.float64)


def details(
    logits: Array, targets: Targets, labels: Sequence[str], thresholds: Sequence[float] | None = None
) -> list[Mapping[str, Any]]:
    """Precision, recall, F1 and number of rows of each label."""
    several = targets.ndim == 2
    predicted = _predicted(logits, (thresholds or [0.5] * len(labels)) if several else None)
    numbers = None if several else np.arange(len(labels))
    known = targets[:, : len(labels)] if several else targets
    table = precision_recall_fscore_support(known, predicted, labels=numbers, zero_division=0)
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for label, p, r, f, n in zip(labels, *table, strict=True)
    ]
