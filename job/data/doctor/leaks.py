"""Labels that can be read off the text: written in it, or told by one word."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tunewright.job.data.doctor.finding import Finding
from tunewright.job.data.doctor.personal import quoted
from tunewright.job.data.doctor.side import Side

_LOOKED_AT = 50_000
"""Rows that are looked at, from the first."""
_FEWEST = 20
"""Rows of a label under which a word may be its own by chance."""
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_OWN, _SURE = 0.9, 0.99
"""A word gives a label away that stands in this share of its rows, and of whose rows so many have the label."""
_WRITTEN, _MOSTLY = 0.5, 0.9
"""The same for the label itself, and for a number."""

Holds = Callable[[str, object], bool]
"""Whether something is so of a row: its text, case folded, and its target."""


@dataclass
class _Counts:
    """What was counted of the first rows."""

    looked: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Rows of each label."""
    written: Counter[str] = field(default_factory=Counter)
    """Of these, those whose text holds the label."""
    words: dict[str, Counter[str]] = field(default_factory=dict)
    everywhere: Counter[str] = field(default_factory=Counter)
    numbers: int = 0
    """Rows whose target is a number."""
    told: int = 0
    """Of these, those whose text holds it."""


def leaked(side: Side) -> Iterator[Finding]:
    """Labels written in their texts, words that only one label has, numbers to be predicted that stand in the text."""
    counts = _count(side)
    told = set()
    for finding, label in _by_label(side, counts):
        told.add(label)
        yield finding
    yield from _by_word(side, counts, told)
    if counts.numbers >= _FEWEST and counts.told >= _WRITTEN * counts.numbers:
        what = f"{counts.told:,} of {counts.numbers:,} {side.name} rows have the number to be learned in their text"
        yield _finding(side, counts.told, counts.looked, what, _tells)


def _count(side: Side) -> _Counts:
    counts = _Counts()
    for text, target in _texts(side):
        counts.looked += 1
        found = set(_WORD.findall(text))
        counts.everywhere.update(found)
        for label in side.labels_of(target):
            counts.rows[label] += 1
            counts.words.setdefault(label, Counter()).update(found)
            counts.written[label] += _is_written(label, text)
        if isinstance(target, float):
            counts.numbers += 1
            counts.told += _tells(text, target)
    return counts


def _texts(side: Side) -> Iterator[tuple[str, object]]:
    for texts, target in side.rows(_LOOKED_AT):
        yield " ".join(texts).casefold(), target


def _is_written(label: str, text: str) -> bool:
    plain = label.casefold()
    return bool(plain) and plain in text and re.search(rf"(?<!\w){re.escape(plain)}(?!\w)", text) is not None


def _tells(text: str, target: object) -> bool:
    """Whether a number stands in the text."""
    return isinstance(target, float) and not {repr(target), f"{target:g}"}.isdisjoint(_NUMBER.findall(text))


def _by_label(side: Side, counts: _Counts) -> Iterator[tuple[Finding, str]]:
    for label, rows in counts.rows.items():
        written = counts.written[label]
        if written < max(_WRITTEN * rows, _FEWEST) or rows > _OWN * counts.looked:
            continue
        anywhere = sum(_is_written(label, text) for text, _ in _texts(side))
        if written >= _MOSTLY * anywhere:

            def holds(text: str, target: object, label: str = label) -> bool:
                return label in side.labels_of(target) and _is_written(label, text)

            what = f"the label {quoted(label)} is written in the text of {written:,} of its {rows:,} {side.name} rows"
            yield _finding(side, written, counts.looked, what, holds), label


def _by_word(side: Side, counts: _Counts, told: set[str]) -> Iterator[Finding]:
    for label, rows in counts.rows.items():
        if label in told or rows < _FEWEST or rows > _OWN * counts.looked:
            continue
        words, few = counts.words[label], math.ceil(_OWN * rows)
        own = [word for word, many in words.items() if many >= few and many >= _SURE * counts.everywhere[word]]
        if own:
            word = max(own, key=lambda one: (counts.words[label][one], one))

            def holds(text: str, target: object, label: str = label, word: str = word) -> bool:
                return label in side.labels_of(target) and word in text

            what = (
                f"the word {quoted(word)} stands in {words[word]:,} of the {rows:,} {side.name} rows of "
                f"{quoted(label)}, and in {counts.everywhere[word] - words[word]:,} others"
            )
            yield _finding(side, words[word], counts.looked, what, holds)


def _finding(side: Side, rows: int, looked: int, what: str, holds: Holds) -> Finding:
    places = (at for at, (text, target) in enumerate(_texts(side)) if holds(text, target))
    return Finding(
        "leaks",
        "serious",
        side.name,
        rows,
        rows / looked,
        f"{what}: what is to be learned can be read off",
        "take it out of the texts, unless callers will write it too: a model looks for it and for nothing else",
        side.examples(places),
    )
