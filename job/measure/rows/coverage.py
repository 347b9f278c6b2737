"""How much is wrong of what is answered, if only the surest answers are given; and what a threshold costs and buys.

Axes: N rows, P points of a curve.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.job.measure.rows.intervals import Interval, share


@dataclass(frozen=True)
class Point:
    """The answers whose score is `score` or higher."""

    score: float
    coverage: float
    """Share of all rows that get an answer."""
    risk: Interval
    """Share of these answers that is wrong."""


def risk_by_coverage(sure: NDArray[np.floating], right: NDArray[np.bool_], points: int = 40) -> list[Point]:
    """From few sure answers to all of them. Rows of equal score are answered together. At least one row."""
    order = np.argsort(-sure, kind="stable")
    ranked, wrong = sure[order], np.cumsum(~right[order])
    ends = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True)) + 1
    asked = np.linspace(1 / points, 1.0, points) * len(sure)
    places = np.unique(np.minimum(np.searchsorted(ends, asked - 1e-9), len(ends) - 1))
    return [
        Point(float(ranked[end - 1]), end / len(sure), share(int(wrong[end - 1]), end)) for end in ends[places].tolist()
    ]


def area_under_risk(sure: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Mean risk over all coverages (AURC; Geifman and El-Yaniv 2017): 0 where no answer is wrong. Rows of equal score
    count as if they came in any order."""
    order = np.argsort(-sure, kind="stable")
    ranked, wrong = sure[order], (~right[order]).astype(np.float64)
    _, group, sizes = np.unique(-ranked, return_inverse=True, return_counts=True)
    evened = np.bincount(group, weights=wrong)[group] / sizes[group]
    return float(np.mean(np.cumsum(evened) / np.arange(1, len(sure) + 1)))


def answered_from(sure: NDArray[np.floating], right: NDArray[np.bool_], risk: float) -> Point | None:
    """The most rows of which surely no more than `risk` are wrong, if those below their score get no answer: the upper
    end of the interval is held against it. None where there is no such score. At least one row."""
    return next((point for point in reversed(risk_by_coverage(sure, right)) if point.risk.high <= risk), None)


def at_score(sure: NDArray[np.floating], right: NDArray[np.bool_], score: float) -> Point:
    """What is answered from a score on, and what is wrong of it. At least one row."""
    told = sure.astype(np.float64) >= score
    return Point(score, float(told.mean()), share(int((~right[told]).sum()), int(told.sum())))


@dataclass(frozen=True)
class Thresholds:
    """Precision, recall and F1 of one label by the score from which it is answered, `[P]` each."""

    scores: NDArray[np.float64]
    precision: NDArray[np.float64]
    """NaN where no row reaches the score."""
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def by_threshold(scores: NDArray[np.floating], has: NDArray[np.bool_], points: int = 51) -> Thresholds:
    """`has`: `[N]` whether each row has the label; at least one has."""
    asked = np.linspace(0.0, 1.0, points)
    everything, positive = np.sort(scores), np.sort(scores[has])
    # A score that is the threshold is answered.
    told = len(everything) - np.searchsorted(everything, asked.astype(scores.dtype))
    right = len(positive) - np.searchsorted(positive, asked.astype(scores.dtype))
    precision = np.where(told > 0, right / np.maximum(told, 1), np.nan)
    return Thresholds(asked, precision, right / len(positive), 2 * right / (told + len(positive)))
