"""How well labels are told: accuracy, F1, Matthews' coefficient, a table by label; thresholds of several labels.

Axes: N rows, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.runtime.scores import scores

if TYPE_CHECKING:
    from tunewright.job.batches.side import Targets

Array = NDArray[np.float32]


def tune_thresholds(logits: Array, targets: "Targets", problem: str) -> list[float] | None:
    """Multi label: for each label the score that gives the best F1 on these rows; 0.5 where there is none to find."""
    if problem == "single_label":
        return None
    probabilities = scores(logits, "sigmoid")
    return [_best_threshold(probabilities[:, label], targets[:, label]) for label in range(logits.shape[1])]


def _best_threshold(scores: Array, truth: "Targets") -> float:
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


def _predicted(logits: Array, thresholds: Sequence[float] | None) -> "Targets":
    """`[N]` label numbers, or `[N, L]` zeros and ones where there are thresholds."""
    if thresholds is None:
        return np.asarray(logits.argmax(axis=-1))
    return (scores(logits, "sigmoid") >= np.asarray(thresholds, dtype=np.float32)).astype(np.float32)


class LabelFigures(TypedDict):
    """How well one label is told."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True)
class Answered:
    """What a model answers to N rows."""

    logits: Array
    """`[N, L]`"""
    predicted: "Targets"
    """`[N]` label numbers, or zeros and ones as wide as the truths."""


def answered(logits: Array, targets: "Targets", problem: str, thresholds: Sequence[float] | None = None) -> Answered:
    """Logits with the labels that they mean; several labels from their thresholds, 0.5 where none are given."""
    if problem == "single_label":
        return Answered(logits, _predicted(logits, None))
    predicted = _predicted(logits, thresholds or [0.5] * logits.shape[1])
    # What training never saw is never predicted.
    unseen = np.zeros((len(logits), targets.shape[1] - logits.shape[1]), dtype=np.float32)
    return Answered(logits, np.hstack([predicted, unseen]))


def accuracy(targets: "Targets", answers: Answered) -> float:
    """Share of the rows whose labels are all right."""
    right = answers.predicted == targets
    return float((right if right.ndim == 1 else right.all(axis=-1)).mean())


def macro_f1(targets: "Targets", answers: Answered) -> float:
    """Mean F1 of the labels there are, predicted or not: of one label a row those that stand in neither have none."""
    if targets.ndim == 2:
        return float(_f1(*_counted(targets, answers)).mean())
    from sklearn.metrics import f1_score

    return float(f1_score(targets, answers.predicted, average="macro", zero_division=0))


def micro_f1(targets: "Targets", answers: Answered) -> float:
    """F1 over all labels of all rows."""
    right, found = _counted(targets, answers)
    return float(_f1(right.sum(), found.sum()))


def mcc(targets: "Targets", answers: Answered) -> float:
    """Matthews' correlation coefficient."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(targets, answers.predicted))


def _counted(targets: "Targets", answers: Answered) -> tuple["Targets", "Targets"]:
    """Of each label: predictions that are right, and predictions and truths together."""
    return (answers.predicted * targets).sum(axis=0), answers.predicted.sum(axis=0) + targets.sum(axis=0)


def _f1(right: "Targets", found: "Targets") -> NDArray[np.float64]:
    """2 TP / (predicted + present), 0 where there is neither; an interval asks for it hundreds of times."""
    return np.asarray(2 * right / np.maximum(found, 1), dtype=np.float64)


def details(
    logits: Array, targets: "Targets", labels: Sequence[str], thresholds: Sequence[float] | None = None
) -> list[LabelFigures]:
    """Precision, recall, F1 and number of rows of each label."""
    from sklearn.metrics import precision_recall_fscore_support

    several = targets.ndim == 2
    predicted = _predicted(logits, (thresholds or [0.5] * len(labels)) if several else None)
    numbers = None if several else np.arange(len(labels))
    known = targets[:, : len(labels)] if several else targets
    table = precision_recall_fscore_support(known, predicted, labels=numbers, zero_division=0)
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for label, p, r, f, n in zip(labels, *table, strict=True)
    ]
