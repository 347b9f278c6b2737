"""Counts of many observations, in bins that two programs agree on."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunewright.serving.errors import BundleError
from tunewright.serving.profile.observation import Observation

PROFILE_FILE = "profile.json"
"""The file of a bundle that holds the profile of the rows it was measured on."""

_UNKNOWN = (0.0, 0.01, 0.05, 0.2)
"""Upper bounds of the shares of unknown tokens."""
_MOST_LABELS = 1000
"""Different labels that are counted apart."""
_OTHER = "(other)"


class Profile(BaseModel):
    """Counts of some rows, feature by feature."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    format: Literal[1] = 1
    """Version of this format."""
    rows: int = Field(ge=0)
    """Rows that were looked at."""
    counts: dict[str, dict[str, int]] = {}
    """Feature (`tokens`, `unknown`, `confidence`, `labels`, `number`) to bin to count. A bin of numbers is named by its
    upper bound."""
    edges: list[float] = []
    """Of a regression: the bounds between the bins of its answers, deciles of the rows it was measured on."""


class Tally:
    """A profile in the making."""

    def __init__(self, edges: Sequence[float] = ()) -> None:
        self.edges = list(edges)
        self.rows = 0
        self._counts: dict[str, Counter[str]] = {}

    def add(self, one: Observation) -> None:
        """Count one row."""
        self.rows += 1
        if one.tokens is not None:
            self._count("tokens", str(1 << max(one.tokens - 1, 0).bit_length()))
        if one.unknown is not None:
            self._count("unknown", _bin(one.unknown, _UNKNOWN))
        if one.confidence is not None:
            self._count("confidence", f"{min(int(one.confidence * 10) + 1, 10) / 10:g}")
        if one.number is not None and self.edges:
            self._count("number", _bin(one.number, self.edges))
        for label in one.labels:
            known = self._counts.get("labels", ())
            self._count("labels", label if label in known or len(known) < _MOST_LABELS else _OTHER)

    def merge(self, profile: Profile) -> None:
        """Count the rows of a profile too."""
        self.rows += profile.rows
        for feature, bins in profile.counts.items():
            self._counts.setdefault(feature, Counter()).update(bins)

    def halve(self) -> None:
        """Let what was counted so far weigh half as much as what comes."""
        self.rows //= 2
        for bins in self._counts.values():
            for name in bins:
                bins[name] //= 2

    def counts(self, feature: str) -> dict[str, int]:
        """Of one feature; nothing where it was never seen."""
        return dict(self._counts.get(feature, ()))

    def profile(self) -> Profile:
        """What was counted."""
        counts = {feature: dict(sorted(bins.items())) for feature, bins in self._counts.items()}
        return Profile(rows=self.rows, counts=counts, edges=self.edges)

    def _count(self, feature: str, name: str) -> None:
        # Not `setdefault`: it would make a Counter, which takes as long as all of this, for each row.
        if (bins := self._counts.get(feature)) is None:
            bins = self._counts[feature] = Counter()
        bins[name] += 1


def profile_of(observations: Iterable[Observation]) -> Profile:
    """The profile of rows that a version was measured on; the bins of a regression are made from them."""
    seen = list(observations)
    numbers = [one.number for one in seen if one.number is not None]
    edges = sorted({float(edge) for edge in np.quantile(numbers, np.linspace(0.1, 0.9, 9))}) if numbers else []
    tally = Tally(edges)
    for one in seen:
        tally.add(one)
    return tally.profile()


def read_profile(folder: Path) -> Profile | None:
    """The profile in a bundle; None for a version made before there were any, BundleError for a broken one."""
    path = folder / PROFILE_FILE
    try:
        return Profile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise BundleError(f"{path} cannot be used: {error.errors(include_url=False)[0]['msg']}") from error


def _bin(value: float, bounds: Sequence[float]) -> str:
    place = bisect_left(bounds, value)
    return repr(float(bounds[place])) if place < len(bounds) else "inf"
