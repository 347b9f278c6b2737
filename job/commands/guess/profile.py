"""What the columns of a file hold, told from its rows: texts, labels, numbers, words with tags."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median

MOST_ROWS = 50_000
"""Rows of a file that are looked at."""
_CUT = 300
"""Characters of a value that are kept."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( .*)?")
_IDENTIFIER = re.compile(r"[\w.:/#@+-]{1,64}", re.ASCII)
_SEPARATORS = (",", ";", "|")
_MOST_LABELS = 1000
_LONGEST_LABEL = 100
_IMAGE = re.compile(r"[^\n]{1,200}\.(png|jpe?g|bmp|gif|webp|tiff?)", re.IGNORECASE)
_SOUND = re.compile(r"[^\n]{1,200}\.(wav|flac|ogg|mp3|opus|aiff?)", re.IGNORECASE)


@dataclass
class Column:
    """The values of one column."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    """Texts and numbers as they are written, cut."""
    lengths: list[int] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)
    lists: list[list[object]] = field(default_factory=list)
    empty: int = 0
    rows: int = 0

    def add(self, value: object) -> None:
        """Take the value of one more row."""
        self.rows += 1
        if value is None or value == "" or value != value or (isinstance(value, str) and not value.strip()):
            self.empty += 1
            return
        is_file = isinstance(value, bytes) or (isinstance(value, dict) and set(value) == {"bytes", "path"})
        self.types["file" if is_file else type(value).__name__] += 1
        if isinstance(value, list):
            self.lists.append(value)
        elif isinstance(value, str | int | float):
            text = str(value).strip()
            self.counts[text[:_CUT]] += 1
            self.lengths.append(len(text))

    @cached_property
    def kind(self) -> str:
        """`text`, `label`, `labels`, `number`, `id`, `constant`, `date`, `texts`, `bits`, `messages`, `object`, `file`,
        `empty`. `labels` are several in a row, `texts` and `bits` lists of them.
        """
        if not self.types:
            return "empty"
        if self.lists:
            return _kind_of_lists(self.lists) if len(self.lists) == self.filled else "object"
        if not self.counts:
            return "file" if set(self.types) == {"file"} else "object"
        return self._kind_of_words()

    def _kind_of_words(self) -> str:
        distinct = len(self.counts)
        if distinct == 1 and self.filled > 1:
            return "constant"
        if _all(_IMAGE, self.counts) or _all(_SOUND, self.counts):
            return "file"
        if _all(_NUMBER, self.counts):
            return self._kind_of_numbers()
        if _all(_DATE, self.counts):
            return "date"
        if self.separator:
            return "labels"
        are_few = distinct <= min(_MOST_LABELS, max(2, self.filled // 2)) and distinct < self.filled
        if are_few and max(map(len, self.counts)) <= _LONGEST_LABEL:
            return "label"
        return "id" if distinct > 0.95 * self.filled and _all(_IDENTIFIER, self.counts) else "text"

    def _kind_of_numbers(self) -> str:
        distinct = len(self.counts)
        if not all(re.fullmatch(r"[-+]?\d+", one) for one in self.counts):
            return "number"
        if distinct == self.filled and distinct > 2:
            return "id"
        return "label" if distinct <= max(2, min(_MOST_LABELS, self.filled // 4)) else "number"

    @property
    def called(self) -> str:
        """The column as a sentence calls it."""
        return f"column {self.name}" if self.name.isdecimal() else self.name

    @property
    def holds(self) -> str:
        """What is in it, in words."""
        kinds = {
            "text": "texts",
            "label": f"{len(self.counts):,} words or numbers over and over",
            "labels": "several labels a row",
            "number": "numbers",
            "id": "a name for each row",
            "constant": "the same in every row",
            "texts": "lists of texts, which are not read: join them",
            "bits": "zeros and ones",
            "date": "dates",
            "object": "objects, which are not read: write their keys as columns",
            "messages": "messages",
            "file": "images or recordings",
            "empty": "nothing",
        }
        return kinds[self.kind]

    @property
    def is_sound(self) -> bool:
        """Whether a column of files has recordings."""
        return _all(_SOUND, self.counts) if self.counts else "audio" in self.name.lower()

    @property
    def filled(self) -> int:
        """Rows that have a value."""
        return self.rows - self.empty

    @property
    def length(self) -> float:
        """Characters of a value in the middle."""
        return median(self.lengths) if self.lengths else 0.0

    @property
    def is_words(self) -> bool:
        """Whether the values are no numbers."""
        return not _all(_NUMBER, self.counts)

    @cached_property
    def separator(self) -> str:
        """What stands between several labels in one value; empty where a value is one label or a text."""
        for separator in _SEPARATORS:
            parts = Counter[str]()
            for value, count in self.counts.items():
                parts.update(dict.fromkeys(filter(None, map(str.strip, value.split(separator))), count))
            joined = sum(count for value, count in self.counts.items() if separator in value)
            alone = sum(part in self.counts for part in parts)
            repeated = sum(parts.values()) >= 3 * len(parts)
            if joined and repeated and alone >= 0.5 * len(parts) and len(parts) <= _MOST_LABELS:
                return separator
        return ""

    @cached_property
    def labels(self) -> set[str]:
        """Every label, of columns of labels."""
        if self.lists:
            return {str(one) for part in self.lists for one in part}
        parts = (value.split(self.separator) if self.separator else [value] for value in self.counts)
        return {part.strip() for some in parts for part in some if part.strip()}

    @property
    def examples(self) -> str:
        """The commonest values of a column of labels, with their rows."""
        counts = self.counts or Counter(str(one) for part in self.lists for one in part)
        some = [f"{value}: {count:,}" for value, count in counts.most_common(4)]
        return ", ".join(some) + (", ..." if len(counts) > len(some) else "")


def _all(pattern: re.Pattern[str], values: Iterable[str]) -> bool:
    return all(pattern.fullmatch(value) for value in values)


def _kind_of_lists(lists: Sequence[list[object]]) -> str:
    """Several labels a row, words or tags of a sentence, or messages."""
    elements = list(itertools.islice(itertools.chain.from_iterable(lists), 20_000))
    if elements and all(isinstance(one, dict) for one in elements):
        return (
            "messages"
            if all({"role", "content"} <= set(one) for one in elements if isinstance(one, dict))
            else "object"
        )
    bits = len(elements) > 1 and set(elements) <= {0, 1} if all(isinstance(one, int) for one in elements) else False
    if not elements or not all(isinstance(one, str | int) for one in elements):
        return "object"
    if bits:
        return "bits"
    return "texts" if len(set(elements)) > 0.2 * len(elements) or _longest(elements) > _LONGEST_LABEL else "labels"


def _longest(elements: Iterable[object]) -> int:
    return max((len(str(one)) for one in elements), default=0)


def columns_of(rows: Iterable[Mapping[str, object]]) -> list[Column]:
    """The columns of these rows, in the order in which they appear."""
    found: dict[str, Column] = {}
    number = 0
    for number, row in enumerate(itertools.islice(rows, MOST_ROWS), 1):
        for name, value in row.items():
            if name not in found:
                # The rows before this one did not have it.
                found[name] = Column(name, empty=number - 1, rows=number - 1)
            found[name].add(value)
    for column in found.values():
        column.empty += number - column.rows
        column.rows = number
    return list(found.values())
