"""Intervals of 95 % for shares, means and F1. Axes: S resamples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 1000
Z = 1.959964
"""Of a normal distribution 95 % lie within so many standard deviations."""


class Interval(NamedTuple):
    """A figure with the two ends between which it lies in 95 of 100 such measurements."""

    value: float
    low: float
    high: float


def share(hits: int, count: int) -> Interval:
    """Wilson's interval of a share of independent rows; from 0 to 1 where there are none."""
    if count == 0:
        return Interval(0.0, 0.0, 1.0)
    found, z2 = hits / count, Z**2
    middle = (found + z2 / (2 * count)) / (1 + z2 / count)
    half = Z / (1 + z2 / count) * np.sqrt(found * (1 - found) / count + z2 / (4 * count**2))
    return Interval(found, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def mean(values: Sequence[float] | NDArray[np.floating]) -> Interval:
    """The mean of independent values, by Student's distribution. At least one value; of one alone no end is known."""
    from scipy.stats import t

    held = np.asarray(values, dtype=np.float64)
    found = float(held.mean())
    if len(held) < 2:
        return Interval(found, -np.inf, np.inf)
    half = float(t.ppf(0.975, len(held) - 1) * held.std(ddof=1) / np.sqrt(len(held)))
    return Interval(found, found - half, found + half)


def f1(right: int, wrong: int, missed: int, rows: int) -> Interval:
    """F1 of one label: rows that have it and are told so, those that are told so and have it not, those that have it
    and are not told so, of so many. Rows are drawn with replacement, which for one label is to draw these counts."""
    found = 2 * right / max(2 * right + wrong + missed, 1)
    if not right + wrong + missed:
        return Interval(0.0, 0.0, 1.0)
    shares = np.array([right, wrong, missed, rows - right - wrong - missed]) / rows
    drawn_S4 = np.random.default_rng(0).multinomial(rows, shares, size=_RESAMPLES)
    figures = 2 * drawn_S4[:, 0] / np.maximum(2 * drawn_S4[:, 0] + drawn_S4[:, 1] + drawn_S4[:, 2], 1)
    low, high = np.percentile(figures, [2.5, 97.5])
    return Interval(found, float(low), float(high))
