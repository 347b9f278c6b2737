"""Two versions on the same rows: is the second surely worse, and how far is the difference known?

Where a row is right or wrong, McNemar's exact test (McNemar 1947) of the rows that only one of the two has right, and
the interval of Bonett and Price (2012) of the difference of the shares. Elsewhere rows are drawn anew, both answers of
a row together (paired bootstrap, Efron 1979), always in the same way.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, fsum, lgamma, log, sqrt
from statistics import NormalDist, fmean
from typing import TypeVar

Pair = tuple[float, float]
"""What two versions reached on a row, the one before first."""
Triple = tuple[float, float, float]
"""What is true of a row, and what two versions answered."""
Row = TypeVar("Row")

_WORK = 1_000_000
"""Rows that are drawn in all, as far as `_FEWEST` and `_MOST` allow."""
_FEWEST, _MOST = 200, 2000
_ROWS = 20_000
"""Rows of which a correlation is computed again and again; of more, some are taken evenly."""


@dataclass(frozen=True)
class Difference:
    """A figure after, less the same before; more is better."""

    value: float
    low: float
    """The lower end of the one-sided interval."""
    high: float
    """The upper end of the other one."""
    worse: float
    """How likely it would be to look so much worse if it were not worse: the p-value of the one-sided test."""


def mcnemar(better: int, worse: int) -> float:
    """The one-sided p-value: so many of the rows that differ, or more, get worse where each might go either way."""
    return min(1.0, _tail(better + worse, worse))


def mcnemar_two_sided(better: int, worse: int) -> float:
    """The same of a difference in either direction."""
    return min(1.0, 2 * _tail(better + worse, max(better, worse)))


def _tail(rows: int, least: int) -> float:
    """How likely at least so many of these rows come up in throws of a coin."""
    if least <= 0:
        return 1.0
    whole = lgamma(rows + 1) - rows * log(2)
    return fsum(exp(whole - lgamma(one + 1) - lgamma(rows - one + 1)) for one in range(least, rows + 1))


def of_shares(better: int, worse: int, rows: int, alpha: float) -> Difference:
    """The difference of two shares of the same rows, of which so many get better and worse."""
    up, down = (better + 1) / (rows + 2), (worse + 1) / (rows + 2)
    spread = NormalDist().inv_cdf(1 - alpha) * sqrt((up + down - (up - down) ** 2) / (rows + 2))
    low, high = max(-1.0, up - down - spread), min(1.0, up - down + spread)
    return Difference((better - worse) / rows, low, high, mcnemar(better, worse))


def of_means(pairs: Sequence[Pair], alpha: float) -> Difference:
    """The difference of two means of the same rows."""
    differences = [after - before for before, after in pairs]
    return _bootstrap(differences, fmean, alpha)


def of_spearman(rows: Sequence[Triple], alpha: float) -> Difference:
    """The difference of how two versions' answers rank as the truth does."""
    some = rows[:: -(-len(rows) // _ROWS)]
    return _bootstrap(some, _gained, alpha)


def spearman(true: Sequence[float], answers: Sequence[float]) -> float:
    """Spearman's correlation of ranks, equal values at their mean rank; 0 where all values are equal."""
    return _pearson(_ranks(true), _ranks(answers))


def _gained(rows: Sequence[Triple]) -> float:
    true, before, after = (_ranks(values) for values in zip(*rows, strict=True))
    return _pearson(true, after) - _pearson(true, before)


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + end - 1) / 2
        start = end
    return ranks


def _pearson(first: Sequence[float], second: Sequence[float]) -> float:
    middle, other = fmean(first), fmean(second)
    ones, others = [value - middle for value in first], [value - other for value in second]
    squares = sum(value * value for value in ones) * sum(value * value for value in others)
    return sum(map(lambda a, b: a * b, ones, others)) / sqrt(squares) if squares else 0.0


def _bootstrap(rows: Sequence[Row], difference: Callable[[Sequence[Row]], float], alpha: float) -> Difference:
    source = random.Random(0)  # noqa: S311 - drawn in the same way each time, and no secret
    times = max(_FEWEST, min(_MOST, _WORK // len(rows)))
    drawn = sorted(difference(source.choices(rows, k=len(rows))) for _ in range(times))
    low, high = drawn[int(alpha * times)], drawn[min(times - 1, int((1 - alpha) * times))]
    # Had the difference been none, the draws would lie around 0 as they lie around what was found.
    worse = sum(one >= 0 for one in drawn)
    return Difference(difference(rows), low, high, (worse + 1) / (times + 1))
