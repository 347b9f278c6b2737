"""How each test row of a version went, as `report/outcomes.jsonl.gz` keeps it, and two of them side by side."""

import gzip
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from tunewright.registry.errors import CorruptObject
from tunewright.registry.versions.document import wrong

OUTCOMES = "report/outcomes.jsonl.gz"
_LARGEST = 256 << 20
"""Bytes that it may unpack to."""
_LONGEST = 1 << 20
"""Bytes of a line."""

Answer = None | float | str | tuple[str | None, ...]


@dataclass(frozen=True)
class Head:
    """What the first line tells of all rows."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    format: Literal[1]
    metric: str  # the headline
    score: str | None  # what the score of a row is, more is better; None where rows have numbers instead
    variants: Annotated[tuple[str, ...], Field(min_length=1)]  # the one served by default first
    columns: tuple[str, ...]
    test_rows: int
    in_training: int | None  # test rows whose inputs stand among the training rows too; null: nobody knows these


@dataclass(frozen=True)
class Row:
    """One test row, answered by the variant that is served by default."""

    key: str  # of the input, 16 hexadecimal digits
    true: Answer
    answer: Answer
    score: float | None
    values: tuple[str, ...]  # of the columns


@dataclass(frozen=True)
class Outcomes:
    """All that is kept."""

    head: Head
    rows: Sequence[Row]

    @property
    def is_right_or_wrong(self) -> bool:
        """Whether each row is one of the two."""
        return self.head.score is not None and all(row.score in (0, 1) for row in self.rows)


@dataclass(frozen=True)
class Both:
    """A row that two versions have answered."""

    number: int  # where it stands among the rows of the version after, from 0
    before: Row
    after: Row


@dataclass(frozen=True)
class Shared:
    """What two versions have both answered."""

    rows: Sequence[Both]
    retold: int
    """Rows that both have, of which something else is true now: they compare nothing."""

    @property
    def better(self) -> list[Both]:
        """Rows with a higher score after."""
        return [one for one in self.rows if _scores(one)[1] > _scores(one)[0]]

    @property
    def worse(self) -> list[Both]:
        """Rows with a lower score after."""
        return [one for one in self.rows if _scores(one)[1] < _scores(one)[0]]

    @property
    def other(self) -> list[Both]:
        """Rows with another answer and the same score."""
        return [
            one for one in self.rows if _scores(one)[0] == _scores(one)[1] and one.before.answer != one.after.answer
        ]


def _scores(one: Both) -> tuple[float, float]:
    return reached(one.before), reached(one.after)


def reached(row: Row) -> float:
    """The score of a row; of numbers minus how far the answer is from the truth."""
    if row.score is not None:
        return row.score
    if isinstance(row.true, float) and isinstance(row.answer, float):
        return -abs(row.answer - row.true)
    return 0.0


def shared(before: Outcomes, after: Outcomes) -> Shared:
    """The rows of both, by their inputs; of inputs that stand several times the first with the first, and so on."""
    left = dict(_placed(before.rows))
    rows, retold = [], 0
    for number, (place, row) in enumerate(_placed(after.rows)):
        if (old := left.get(place)) is None:
            continue
        # A version has no name for a label that its training never saw.
        if old.true == row.true or old.true is None or row.true is None:
            rows.append(Both(number, old, row))
        else:
            retold += 1
    return Shared(rows, retold)


def _placed(rows: Sequence[Row]) -> Iterator[tuple[tuple[str, int], Row]]:
    times: Counter[str] = Counter()
    for row in rows:
        yield (row.key, times[row.key]), row
        times[row.key] += 1


_HEAD = TypeAdapter(Head)
_KEY = TypeAdapter(Annotated[str, Field(pattern="^[0-9a-f]{16}$")])
_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)
_TOLD: TypeAdapter[tuple[Answer, float | None]] = TypeAdapter(
    tuple[Answer, Annotated[float, Field(allow_inf_nan=False)] | None]
)
_VALUES = TypeAdapter(tuple[str, ...])


def read_outcomes(path: Path, version: str) -> Outcomes:
    """The outcomes in a file. Raises CorruptObject, which names the version."""
    what = f"{OUTCOMES} of {version}"
    try:
        lines = _lines(path, what)
        head = _HEAD.validate_python(next(lines, {}))
        rows = [_row(line, head) for line in lines]
    except ValidationError as error:
        raise CorruptObject(f"{what} does not tell outcomes: {wrong(error)}") from None
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise CorruptObject(f"{what} cannot be read: {error}") from None
    if not rows:
        raise CorruptObject(f"{what} tells of no row")
    return Outcomes(head, rows)


def _lines(path: Path, what: str) -> Iterator[Mapping[str, object]]:
    read = 0
    with gzip.open(path) as file:
        while line := file.readline(_LONGEST):
            read += len(line)
            if read > _LARGEST or not line.endswith(b"\n"):
                raise CorruptObject(f"{what} unpacks to more than it may: it is no such file")
            held = json.loads(line)
            if not isinstance(held, dict):
                raise CorruptObject(f"{what} has a line that is no JSON object")
            yield held


def _row(line: Mapping[str, object], head: Head) -> Row:
    answer, score = _TOLD.validate_python(line.get(head.variants[0]))
    values = _VALUES.validate_python(line.get("of", ()))
    if len(values) != len(head.columns) or (head.score is None) != (score is None):
        raise ValueError("a row has no value of each column, or no score")
    true = _ANSWER.validate_python(line.get("true"))
    if head.score is None and not all(isinstance(one, float) and math.isfinite(one) for one in (true, answer)):
        raise ValueError("a row has no number")
    return Row(_KEY.validate_python(line.get("row")), true, answer, score, values)
