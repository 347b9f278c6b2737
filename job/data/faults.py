"""Faults of single rows, counted by kind, so that one error can tell all of them."""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tunewright.job.errors import DataError

_SHOWN = 60
"""Characters of a value that an error shows."""
_MOST_KINDS = 10
"""Kinds of fault that an error tells."""
_MOST_VALUES = 11
"""Values that an error tells of one kind of fault."""
_LONGEST = 600
"""Characters of the sentence about one kind."""
_KEPT_KINDS = 1000
"""Kinds of fault that are told apart: a file of a million rows can have one for each."""


@dataclass
class Faults:
    """What is wrong with the rows of one split; `raise_any` turns it into one DataError."""

    _first: dict[str, str] = field(default_factory=dict)
    _count: Counter[str] = field(default_factory=Counter)
    _values: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, kind: str, place: str, hint: str = "", *, value: str = "") -> None:
        """Count one fault of a kind; the place and hint of the first one are shown, and each `value` that there is."""
        kind = _cut(kind)
        if kind not in self._first:
            if len(self._first) == _KEPT_KINDS:
                return
            self._first[kind] = _cut(f"{place} {kind}" + (f"; {hint}" if hint else ""))
        self._count[kind] += 1
        values = self._values.setdefault(kind, {})
        if value and len(values) <= _MOST_VALUES:
            values[value] = None

    def add_all(self, others: "Faults") -> None:
        """Count the faults of another count too."""
        for kind, text in others._first.items():
            if kind not in self._first and len(self._first) < _KEPT_KINDS:
                self._first[kind], self._values[kind] = text, others._values[kind]
            self._count[kind] += others._count[kind]

    def raise_any(self) -> None:
        """DataError with a line per kind of fault, or nothing."""
        if self._first:
            told = [text + self._others(kind) for kind, text in self._first.items()]
            left = len(told) - _MOST_KINDS
            more = [f"{left:,} more kinds of fault are not shown"] if left > 0 else []
            raise DataError("\n".join(told[:_MOST_KINDS] + more))

    def _others(self, kind: str) -> str:
        others = self._count[kind] - 1
        if not others:
            return ""
        values = list(self._values[kind])[1:]
        told = f", with {listed(values, _MOST_VALUES - 1)}" if values else ""
        return f" ({others:,} more {'row shares' if others == 1 else 'rows share'} this fault{told})"


def _cut(sentence: str) -> str:
    """A sentence of bounded length: names in it come from the data. Both its ends say more than its middle."""
    if len(sentence) <= _LONGEST:
        return sentence
    return f"{sentence[: _LONGEST // 2]} ... {sentence[-_LONGEST // 2 :]}"


def shown(value: object) -> str:
    """A value as an error shows it: quoted, and cut when it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def listed(names: Iterable[str], most: int = 10) -> str:
    """The legal values as an error lists them."""
    some = list(itertools.islice(names, most + 1))
    return ", ".join(some[:most]) + (", ..." if len(some) > most else "")
