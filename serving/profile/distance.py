"""How far two profiles are apart: the population stability index, and what chance alone would make of it.

PSI is the symmetrised Kullback-Leibler divergence of two histograms. By custom 0.1 is a change and 0.25 a large one
(Siddiqi, Credit Risk Scorecards, 2006). Of two samples of n and m rows from one population it is about
(1/n + 1/m) times a chi-squared number with one degree of freedom less than there are bins (Yurdakul, 2018): few rows
alone make it large.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tunewright.serving.profile.profile import Profile

CHANGED, LARGE = 0.1, 0.25
_SMOOTHED = 0.5
"""Added to each bin: one that is empty on one side would be infinitely far away."""
_Z = 3.09
"""Of the normal distribution: one time in a thousand chance alone is beyond it."""

Verdict = Literal["same", "changed", "large"]


@dataclass(frozen=True, slots=True)
class Drift:
    """One feature of the rows that are met, beside that of the rows that were measured on."""

    feature: str
    psi: float
    chance: float
    """What the same population would stay below 999 times of 1000, with so few rows."""
    moved: str
    """The bin whose share has changed most, and how, in words."""

    @property
    def verdict(self) -> Verdict:
        """`changed` from 0.1 on and `large` from 0.25 on, where it is more than chance."""
        if self.psi < CHANGED or self.psi <= self.chance:
            return "same"
        return "large" if self.psi >= LARGE else "changed"


def drifts(reference: Profile, met: Profile) -> list[Drift]:
    """How far each feature that both have has moved."""
    shared = [feature for feature in reference.counts if feature in met.counts]
    return [drift(feature, reference.counts[feature], met.counts[feature]) for feature in shared]


def drift(feature: str, before: Mapping[str, int], now: Mapping[str, int]) -> Drift:
    """How far one feature has moved, by the counts of its bins."""
    names = sorted({*before, *now})
    first, second = _shares(before, names), _shares(now, names)
    psi = sum((b - a) * math.log(b / a) for a, b in zip(first, second, strict=True))
    sizes = 1 / max(sum(before.values()), 1) + 1 / max(sum(now.values()), 1)
    moved = max(range(len(names)), key=lambda index: abs(second[index] - first[index]))
    words = f"{names[moved]}: {first[moved]:.1%} -> {second[moved]:.1%}"
    return Drift(feature, psi, sizes * _chi_squared(len(names) - 1), words)


def _shares(counts: Mapping[str, int], names: list[str]) -> list[float]:
    smoothed = [counts.get(name, 0) + _SMOOTHED for name in names]
    return [one / sum(smoothed) for one in smoothed]


def _chi_squared(degrees: int) -> float:
    """Its 99.9 % quantile (Wilson and Hilferty, 1931)."""
    if degrees < 1:
        return 0.0
    part = 2 / (9 * degrees)
    return degrees * (1 - part + _Z * math.sqrt(part)) ** 3
