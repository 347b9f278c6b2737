"""Labels that hold another separator than the settings say: `drama|romance` under the role labels is one label."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tunewright.job.data.faults import shown

_SEPARATORS = ("|", ";", ",")
"""What separates labels in the files of others."""
_WITHIN = ("/", "+", "&")
"""What does so too, and stands within one label as often."""
_KEPT = 10_000
"""Different labels that are looked at."""
_LEAST = 3
"""Rows with a separator that are no accident."""
_SHARE = 0.05
"""The share of the rows that they are at least."""
_MOST_WORDS = 3
"""Words of a part; longer ones are prose."""


class JoinedLabels:
    """The labels of all rows, and whether some are several."""

    def __init__(self) -> None:
        self._rows = 0
        self._labels: Counter[str] = Counter()

    def see(self, labels: Sequence[str]) -> None:
        """Count the labels of one row."""
        self._rows += 1
        for label in labels:
            if label in self._labels or len(self._labels) < _KEPT:
                self._labels[label] += 1

    def sentence(self, separator: str) -> str:
        """What to say of a separator other than that of the settings whose parts recur; empty where none does."""
        for other in (*_SEPARATORS, *_WITHIN):
            if other in separator:
                continue
            joined = list(self._joined(other))
            rows = sum(self._labels[label] for label in joined)
            if rows >= max(_LEAST, _SHARE * self._rows):
                return (
                    f"{rows:,} of {self._rows:,} rows have a label with {other!r} in it, such as {shown(joined[0])}, "
                    "and its parts recur in other labels; "
                    f'add `label_separator: "{other}"` under data: if it separates labels, as {separator!r} does now'
                )
        return ""

    def _joined(self, separator: str) -> Iterator[str]:
        """The labels that hold the separator, of those whose parts recur."""
        parts = {label: _parts(label, separator) for label in self._labels if separator in label}
        found: defaultdict[str, set[str]] = defaultdict(set)
        places: defaultdict[str, set[int]] = defaultdict(set)
        for label, some in parts.items():
            for place, part in enumerate(some):
                found[part].add(label)
                places[part].add(place)

        def recurs(part: str) -> bool:
            is_alone = part in self._labels and part not in parts
            # A part of a path (Men/Shoes, Women/Shoes) recurs at the same place.
            return is_alone or (len(places[part]) if separator in _WITHIN else len(found[part])) > 1

        enough = all if separator in _WITHIN else any
        for label, some in parts.items():
            is_short = all(len(re.findall(r"\w+", part)) <= _MOST_WORDS for part in some)
            if len(some) > 1 and is_short and enough(map(recurs, some)):
                yield label


def _parts(label: str, separator: str) -> list[str]:
    return [part.strip() for part in label.split(separator) if part.strip()]
