"""Missing splits, made deterministically: by label in proportion, equal texts always on one side.

Which side a text falls on depends on the text, its label and the seed alone, not on the order of the rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.label_lists import LabelLists
from tunewright.job.settings.data import DataSettings

Positions = NDArray[np.int64]
Keys = NDArray[np.uint64]
_AT_ONCE = 1 << 16
"""Rows whose labels are looked at together: those of all of them take more memory than the rest of a split."""


_VALIDATION = 0.1
"""Share of the training rows that is split off for validation when the settings name none."""


def shares(data: DataSettings, *, few_shot: bool) -> dict[str, float]:
    """What is split off from the training rows for each side that is not given."""
    # Few labels are not spent on validation unless that is asked for.
    usual = 0.0 if few_shot else _VALIDATION
    validation = usual if data.validation_fraction is None else data.validation_fraction
    return {
        "validation": validation if data.validation is None else 0.0,
        "test": data.test_fraction if data.test is None else 0.0,
    }


@dataclass(frozen=True)
class Parts:
    """Positions of the rows of each side."""

    train: Positions
    validation: Positions
    test: Positions


def split(keys: Keys, labels: Iterable[Sequence[str]], *, validation: float, test: float, seed: int) -> Parts:
    """Divide rows into sides with the given shares.

    `keys` are equal for equal texts; `labels` of a row are kept in proportion, the rarest one where it has several.
    """
    texts, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    side = np.zeros(len(texts), dtype=np.int8)
    drawn = _draw(texts, seed)
    for stratum in _strata(group, LabelLists(labels), len(texts)):
        ordered = stratum[np.lexsort((texts[stratum], drawn[stratum]))]
        _deal(ordered, sizes, (test, validation), side)
    train, tests, held_out = (np.flatnonzero(side[group] == number) for number in range(3))
    return Parts(train, held_out, tests)


def _strata(group: NDArray[np.int64], labels: LabelLists, groups: int) -> list[NDArray[np.int64]]:
    """The groups of equal texts by the rarest label among their rows."""
    counts = labels.counts()
    rank = np.empty(len(counts), dtype=np.int32)
    rank[sorted(range(len(counts)), key=lambda one: (counts[one], labels.names[one]))] = np.arange(len(counts))
    rarest = np.full(groups, len(counts), dtype=np.int32)
    for at in range(0, len(group), _AT_ONCE):
        starts = labels.starts[at : at + _AT_ONCE + 1]
        of_label = np.repeat(group[at : at + _AT_ONCE], np.diff(starts))
        np.minimum.at(rarest, of_label, rank[labels.numbers[starts[0] : starts[-1]]])
    members = np.argsort(rarest, kind="stable")
    return np.split(members, np.flatnonzero(np.diff(rarest[members])) + 1)


def _deal(groups: NDArray[np.int64], sizes: NDArray[np.int64], shares: Sequence[float], side: NDArray[np.int8]) -> None:
    """Give each side (1, 2, ...) its share of the rows of one stratum; train (0) keeps two groups, or all there are.

    A label is learned from two texts or more.
    """
    total = int(sizes[groups].sum())
    given = 0
    for number, share in enumerate(shares, 1):
        wanted = max(round(total * share), 1 if share and len(groups) > len(shares) else 0)
        taken = 0
        while taken < wanted and given < len(groups) - 2:
            side[groups[given]] = number
            taken += int(sizes[groups[given]])
            given += 1


def _draw(texts: Keys, seed: int) -> Keys:
    """Numbers that look random and are the same on every machine: the mixing function of SplitMix64."""
    mixed = texts + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
