"""Where a model does worse: rows with something in common, held against all other rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.job.measure.rows.intervals import Interval, mean, share

LEAST_ROWS = 10
"""Rows of a slice; of fewer nothing is said."""
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Slice:
    """Rows with something in common."""

    by: str
    """What they were cut by."""
    name: str
    rows: int
    figure: Interval
    """Mean of what each row reached."""
    is_worse: bool
    """Whether it is below the rows outside it by more than chance, all slices that were looked at considered (Holm)."""


def sliced(reached: NDArray[np.floating], groups: Mapping[str, Sequence[str]]) -> list[Slice]:
    """The worst first. `reached`: `[N]` what each row reached, more is better; `groups`: what the rows are cut by, to
    the name of the slice of each row, an empty one for rows of no slice."""
    found = []
    for by, names in groups.items():
        held = np.array(names, dtype=object)
        for name in sorted(set(names) - {""}):
            inside = np.asarray(held == name, dtype=bool)
            if LEAST_ROWS <= inside.sum() < len(reached):
                found.append((by, name, reached[inside], _chance(reached[inside], reached[~inside])))
    worse = _holm([chance for *_, chance in found])
    slices = [
        Slice(by, name, len(values), _figure(values), is_worse)
        for (by, name, values, _), is_worse in zip(found, worse, strict=True)
    ]
    return sorted(slices, key=lambda one: one.figure.value)


def by_length(sizes: NDArray[np.integer], unit: str, parts: int = 5) -> list[str]:
    """For each row the name of its slice, `parts` of about equal size, fewer where many rows are equally long."""
    inner = np.unique(np.quantile(sizes, np.linspace(0, 1, parts + 1)[1:-1], method="lower"))
    edges = [edge for edge in inner.tolist() if edge < sizes.max()]
    starts = [int(sizes.min()), *(edge + 1 for edge in edges)]
    ends = [*edges, int(sizes.max())]
    # Zeros before the number, so that names are in the order of their lengths.
    names = [
        f"{low:,} {unit}" if low == high else f"{low:,} to {high:,} {unit}"
        for low, high in zip(starts, ends, strict=True)
    ]
    return [names[place] for place in np.searchsorted(edges, sizes, side="left")]


def _figure(values: NDArray[np.floating]) -> Interval:
    if np.isin(values, (0, 1)).all():
        return share(int(values.sum()), len(values))
    return mean(values)


def _chance(inside: NDArray[np.floating], outside: NDArray[np.floating]) -> float:
    """How likely rows drawn without regard to the slice would do as badly: Fisher's test of shares, else Welch's."""
    from scipy.stats import fisher_exact, ttest_ind

    if np.isin(inside, (0, 1)).all() and np.isin(outside, (0, 1)).all():
        table = [[int((side == 0).sum()), int((side == 1).sum())] for side in (inside, outside)]
        return float(fisher_exact(table, alternative="greater").pvalue)
    if len(outside) < 2 or np.ptp(inside) == np.ptp(outside) == 0:
        return 1.0
    return float(ttest_ind(inside, outside, equal_var=False, alternative="less").pvalue)


def _holm(chances: Sequence[float]) -> list[bool]:
    """Which of several chances are small together (Holm 1979)."""
    small, order = [False] * len(chances), np.argsort(chances, kind="stable").tolist()
    for done, place in enumerate(order):
        if chances[place] > _SIGNIFICANT / (len(chances) - done):
            break
        small[place] = True
    return small
