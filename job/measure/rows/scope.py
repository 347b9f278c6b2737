"""How well scores tell rows that belong to none of the labels from those that do, by the file that is served.

A model of labels answers whatever it is asked. Rows that are out of its scope should get low scores, which a caller
that abstains (`min_score`) leaves to people. Axes: N test rows, M rows out of scope.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.dataset import Dataset
from tunewright.job.measure.faithfulness import spread
from tunewright.job.measure.rows.intervals import Interval, Z, share
from tunewright.serving.runtime.scores import scores

if TYPE_CHECKING:
    from tunewright.serving.predictor import Predictor

Numbers = NDArray[np.floating]
Value = str | tuple[str, ...]
MOST_ROWS = 5_000
"""Rows out of scope that are asked."""
_REACHED = 0.95
"""Share of the test rows that should still get an answer."""
_POINTS = 40


@dataclass(frozen=True)
class Told:
    """Which rows have a score from here on."""

    score: float
    inside: float
    """Share of the test rows."""
    outside: float
    """Share of the rows out of scope."""
    interval: tuple[float, float]
    """95 %, Wilson's, of the latter."""


@dataclass(frozen=True)
class Scope:
    """What the scores of one variant tell of rows out of scope."""

    variant: str
    rows: int
    """Rows out of scope that were asked."""
    auroc: float
    """How often a test row has a higher score than a row out of scope; 0.5 where scores tell nothing."""
    interval: tuple[float, float]
    """95 %, Newcombe's."""
    usual: Told
    """From the score that 95 % of the test rows reach."""
    abstaining: Told | None
    """From the version's own `min_score`."""
    curve: list[Told]


def measure_scope(
    predictor: "Predictor", data: Dataset, inside_N: Numbers, served: Callable[[Value], object], least: float | None
) -> Scope:
    """`data`: at least one row out of scope, of which up to `MOST_ROWS` are asked; `inside_N`: the best score of each
    test row; `served`: the task's; `least`: the score from which the version answers, where it abstains below one."""
    rows = data.select(spread(len(data), MOST_ROWS))
    batches = (list(map(served, inputs)) for inputs, _ in rows.batches())
    logits = np.concatenate([np.stack(predictor.outputs(inputs)) for inputs in batches])
    outside_M = scores(logits, "softmax", predictor.temperature).max(axis=-1)
    area = auroc(inside_N, outside_M)
    return Scope(
        predictor.variant,
        len(rows),
        area.value,
        (area.low, area.high),
        _told(inside_N, outside_M, reached_by(inside_N, _REACHED)),
        None if least is None else _told(inside_N, outside_M, least),
        [_told(inside_N, outside_M, reached_by(inside_N, at / _POINTS)) for at in range(1, _POINTS + 1)],
    )


def reached_by(scores_N: Numbers, part: float) -> float:
    """The highest score that at least such a part of the rows has, or more. At least one row."""
    return float(np.sort(scores_N)[::-1][int(np.ceil(part * len(scores_N) - 1e-9)) - 1])


def auroc(inside_N: Numbers, outside_M: Numbers) -> Interval:
    """The area under the ROC curve: how often one of the first is higher than one of the second, equal ones half.

    The interval is Newcombe's fifth (2006, "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2"), which has two ends also where all rows are told apart. At least one row each.
    """
    from scipy.optimize import brentq
    from scipy.stats import rankdata

    n, m = len(inside_N), len(outside_M)
    ranks = rankdata(np.concatenate([inside_N, outside_M]))
    found = float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
    rest = (n + m) / 2 - 1

    def half(area: float) -> float:
        more = 1 + rest * (1 - area) / (2 - area) + rest * area / (1 + area)
        return Z * float(np.sqrt(max(area * (1 - area), 0.0) * more / (n * m)))

    # At 0 and at 1 the figure itself solves the equation, and is not the end that is looked for.
    low = brentq(lambda area: area + half(area) - found, 0.0, min(found, 1 - 1e-12)) if found > 0 else 0.0
    high = brentq(lambda area: area - half(area) - found, max(found, 1e-12), 1.0) if found < 1 else 1.0
    return Interval(found, float(low), float(high))


def _told(inside_N: Numbers, outside_M: Numbers, score: float) -> Told:
    found = share(int((outside_M.astype(np.float64) >= score).sum()), len(outside_M))
    return Told(score, float((inside_N.astype(np.float64) >= score).mean()), found.value, (found.low, found.high))
