"""How each test row went, kept with a version: what two versions are compared by, row by row.

Lines of JSON, compressed; the first tells what the others hold. No text of a row is kept, nor a text that was answered,
but a number of its input, which whoever has the input can compute too.
"""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.job.measure.rows.answers import LabelAnswers, NumberAnswers, RowAnswers, TextAnswers, reached_by

OUTCOMES_FILE = "report/outcomes.jsonl.gz"
"""Where it lies in a version."""
MOST_ROWS = 100_000
"""Rows that are kept: of more those with the smallest numbers, which are the same ones in whatever order they come."""
_CUT = 64
"""Characters of the value of a column."""

Answer = None | float | str | list[str | None]


@dataclass(frozen=True)
class MeasuredRows:
    """What is known of the rows beside what was answered to them."""

    metric: str
    """The headline metric."""
    labels: Sequence[str]
    """The names of the labels; empty where none are told."""
    keys: NDArray[np.uint64]
    """`[N]` one number per row, equal for equal inputs."""
    in_training: int | None
    """Rows whose inputs stand among the training rows too; None where nobody knows what the model was taught."""
    columns: Mapping[str, Sequence[str]]
    """The columns by which the report cuts them, with the value of each row."""


def outcomes(answers: Mapping[str, RowAnswers], test: MeasuredRows) -> bytes:
    """The bytes of the file, equal for equal outcomes. `answers`: of each variant, that served by default first."""
    first = next(iter(answers.values()))
    # Answers may be of some of the test rows.
    places = first.rows if isinstance(first, TextAnswers) else range(len(test.keys))
    keys = test.keys[np.array(places, dtype=np.int64)]
    columns = [[names[place][:_CUT] for place in places] for names in test.columns.values()]
    told = {name: _told(one, test.labels) for name, one in answers.items()}
    true = _truth(first, test.labels)
    lines: list[dict[str, object]] = [
        {
            "format": 1,
            "metric": test.metric,
            "score": _score(first),
            "variants": list(answers),
            "columns": list(test.columns),
            "test_rows": len(test.keys),
            "in_training": test.in_training,
        }
    ]
    for row in np.sort(np.argsort(keys, kind="stable")[:MOST_ROWS]).tolist():
        line: dict[str, object] = {"row": f"{int(keys[row]):016x}"}
        line |= {"true": true(row)} if true else {}
        line |= {name: tell(row) for name, tell in told.items()}
        line |= {"of": [names[row] for names in columns]} if columns else {}
        lines.append(line)
    text = "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines)
    return gzip.compress(text.encode("utf-8", "backslashreplace"), mtime=0)


def _score(answers: RowAnswers) -> str | None:
    """What the score of a row is, more is better; None for numbers, whose figure is of all rows together."""
    reached = reached_by(answers)
    return None if isinstance(answers, NumberAnswers) or reached is None else reached[1]


def _told(answers: RowAnswers, labels: Sequence[str]) -> Callable[[int], list[Answer]]:
    """What was answered to a row, where that is no text, and the score that it reached."""
    if isinstance(answers, NumberAnswers):
        return lambda row: [_short(answers.answers[row]), None]
    reached = reached_by(answers)
    assert reached is not None
    scores = reached[0]
    if isinstance(answers, LabelAnswers):
        return lambda row: [_named(answers.predicted[row], labels), int(scores[row])]
    return lambda row: [None, round(float(scores[row]), 4)]


def _truth(answers: RowAnswers, labels: Sequence[str]) -> Callable[[int], Answer] | None:
    if isinstance(answers, NumberAnswers):
        return lambda row: _short(answers.truths[row])
    if isinstance(answers, LabelAnswers):
        return lambda row: _named(answers.truths[row], labels)
    return None


def _short(number: np.float32) -> float:
    """A number in the digits that float32 has."""
    return float(f"{float(number):.7g}")


def _named(held: NDArray[np.integer] | np.integer, labels: Sequence[str]) -> Answer:
    """The label, or several; None for one that training never saw."""
    names: list[str | None] = [
        labels[one] if one < len(labels) else None
        for one in ([int(held)] if np.ndim(held) == 0 else np.flatnonzero(held).tolist())
    ]
    return names[0] if np.ndim(held) == 0 else names
