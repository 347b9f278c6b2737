"""Single rows: kinds of rows that do worse, those that were lost most, those that a variant answers otherwise."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.dataset import strings
from tunewright.job.kinds.files import File, content
from tunewright.job.measure.rows.answers import (
    LabelAnswers,
    NumberAnswers,
    RowAnswers,
    TagAnswers,
    TextAnswers,
    reached_by,
)
from tunewright.job.measure.rows.intervals import Interval, share
from tunewright.job.measure.rows.slices import LEAST_ROWS, by_length, sliced
from tunewright.job.report import media
from tunewright.job.report.html import Cell, Html, Number, Section, joined, paragraph, table
from tunewright.job.report.subject import Subject, count, cut, shown
from tunewright.job.report.svg import short

_SHOWN = 20
_SLICES = 40
_COLUMN = "column "
"""Before the name of a column: one may be called as the other groups."""
_SEEN = {"image": media.image, "audio": media.recording}
"""What shows a file of each kind."""


def slices(subject: Subject) -> Section | None:
    """None where no rows are kept, or all of them are alike and no column was asked for."""
    reached = reached_by(subject.answers)
    if reached is None:
        return None
    values, called = reached
    groups = _groups(subject)
    found = sliced(values, groups)
    bare = [by for by in groups if by.startswith(_COLUMN) and by not in {one.by for one in found}]
    without = [paragraph(f"Of {', '.join(bare)} no value has {LEAST_ROWS} test rows, or one has all.")] if bare else []
    if not found:
        return Section("Slices", joined(without)) if without else None
    worse = sum(one.is_worse for one in found)
    rows: list[list[Cell]] = [
        [one.by, one.name, Number(_told(one.figure)), count(one.rows), "yes" if one.is_worse else ""]
        for one in found[:_SLICES]
    ]
    heads = ["by", "rows", f"{called} (95 % interval)", "test rows", "surely worse"]
    caution = (
        f"{len(found)} slices were looked at: of so many some do badly by chance alone. Surely worse are {worse} of "
        "them, each held against all rows outside it, with all that were looked at considered (Holm's method, 5 %)."
    )
    return Section(
        "Slices",
        joined([paragraph(caution), *without, table("Slices of the test rows, the worst first", heads, rows)]),
    )


def _groups(subject: Subject) -> dict[str, list[str]]:
    """By length, by label where each row has one, and by the columns of the settings."""
    groups: dict[str, list[str]] = {}
    prepared, answers, columns = subject.plan.prepared, subject.answers, subject.plan.settings.report.slices
    data = prepared.test.data.select(answers.rows) if isinstance(answers, TextAnswers) else prepared.test.data
    if not prepared.task.columns.media:
        sizes = [sum(len(one.split()) for one in strings(value)) for inputs, _ in data.batches() for value in inputs]
        groups["length"] = by_length(np.array(sizes), "words")
    if isinstance(answers, LabelAnswers) and answers.truths.ndim == 1:
        names = subject.labels
        held = np.asarray(answers.truths, dtype=np.int64).tolist()
        groups["true label"] = [names[one] if one < len(names) else "one that the model does not have" for one in held]
    for column, values in zip(columns, zip(*data.kept(), strict=True) if columns else (), strict=True):
        groups[f"{_COLUMN}{column}"] = list(values)
    return groups


def _told(one: Interval) -> str:
    if np.isinf(one.low):
        return short(one.value)
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def lost(subject: Subject) -> Section | None:
    """The rows lost most. None where labels, numbers or tags are not what is told."""
    answers = subject.answers
    if isinstance(answers, TextAnswers) or answers is None:
        return None
    rows = lost_most(answers)
    heads, cells = _of_rows(subject, rows)
    parts = [
        paragraph(
            f"What was lost most is often labelled wrongly, or unlike {_known(subject)}. Rows are numbered from 0 in "
            "the order of the test side."
        ),
        table("The test rows that were lost most", heads, cells),
    ]
    return Section("Rows that were lost", joined(parts))


def _known(subject: Subject) -> str:
    if subject.plan.prepared.imported:
        return "anything that the model was taught"
    return "anything in the training rows: read it before you train more"


def lost_most(answers: RowAnswers, rows: int = _SHOWN) -> list[int]:
    """The numbers of the worst rows that are not right, the worst first."""
    if isinstance(answers, LabelAnswers):
        order = np.argsort(-answers.losses, kind="stable").tolist()
        return [row for row in order if not answers.right[row]][:rows]
    reached = reached_by(answers)
    assert reached is not None
    order = np.argsort(reached[0], kind="stable")[:rows].tolist()
    return [row for row in order if not (isinstance(answers, TagAnswers) and reached[0][row] == 1)]


def _of_rows(subject: Subject, rows: Sequence[int]) -> tuple[list[str], list[list[Cell]]]:
    inputs, answers = subject.plan.prepared.test.data.select(list(rows)).inputs(), subject.answers
    cells: list[list[Cell]] = []
    for row, value in zip(rows, inputs, strict=True):
        cells.append([count(row), _input(subject, value), *_answered(subject, answers, row, value)])
    if isinstance(answers, LabelAnswers):
        return ["row", "input", "true", "answered", "loss"], cells
    if isinstance(answers, NumberAnswers):
        return ["row", "input", "true", "answered", "error"], cells
    return ["row", "input", "words that are wrong: true, answered"], cells


def _answered(subject: Subject, answers: RowAnswers | None, row: int, value: object) -> list[Cell]:
    if isinstance(answers, LabelAnswers):
        said = f"{_named(answers.predicted, row, subject.labels)} ({answers.sure[row]:.2f})"
        return [_named(answers.truths, row, subject.labels), said, Number(f"{answers.losses[row]:.2f}")]
    if isinstance(answers, NumberAnswers):
        number, given = float(answers.truths[row]), float(answers.answers[row])
        return [Number(f"{number:.5g}"), Number(f"{given:.5g}"), Number(f"{given - number:+.5g}")]
    assert isinstance(answers, TagAnswers)
    told = zip(strings(value), answers.truths[row], answers.answers[row], strict=True)
    return ["; ".join(f"{word}: {true}, {said}" for word, true, said in told if true != said)[:400]]


def _named(labels: NDArray[np.generic], row: int, names: Sequence[str]) -> str:
    held = labels[row]
    places = [int(held)] if labels.ndim == 1 else np.flatnonzero(held).tolist()
    said = [names[one] if one < len(names) else "one that the model does not have" for one in places]
    return ", ".join(said) or "(none)"


def _input(subject: Subject, value: object) -> Cell:
    """An input as a cell: images small, recordings to be played, texts cut."""
    kind = subject.plan.prepared.task.columns.media
    if not kind or not isinstance(value, dict):
        return shown(value)
    # Of a file and a text beside it, each has a place of its own.
    file, words = value.get(kind, value), cut(value.get("text", ""))
    seen = _SEEN[kind](content(cast(File, file)))
    if seen is None:
        return shown([file["sha256"], words] if words else file["sha256"])
    return joined([seen, paragraph(words)]) if words else seen


def flips(subject: Subject) -> Section | None:
    """What the other variants answer otherwise than fp32. None where there is no other, or labels are not told."""
    held = {name: one.answers for name, one in subject.release.evaluations.items()}
    full = held.pop("fp32", None)
    others = {name: one for name, one in held.items() if isinstance(one, LabelAnswers)}
    if not isinstance(full, LabelAnswers) or not others:
        return None
    parts: list[Html] = []
    for name, one in others.items():
        rows = flipped(full, one)
        gained, lost_rows = int((one.right & ~full.right).sum()), int((full.right & ~one.right).sum())
        found = share(len(rows), len(full.sure))
        parts.append(
            paragraph(
                f"{name} answers {len(rows):,} of {len(full.sure):,} test rows otherwise than fp32 ({found.value:.2%}, "
                f"95 % interval {found.low:.2%} to {found.high:.2%}): {gained:,} that fp32 has wrong are right, "
                f"{lost_rows:,} that it has right are wrong."
            )
        )
        if rows:
            parts.append(_flipped_table(subject, full, one, rows, name))
    return Section("Smaller files", joined(parts))


def flipped(full: LabelAnswers, other: LabelAnswers) -> list[int]:
    """The numbers of the rows with different answers, those that fp32 is surest of first."""
    differs = np.asarray(full.predicted != other.predicted)
    places = np.flatnonzero(differs if differs.ndim == 1 else differs.any(axis=-1))
    return places[np.argsort(-full.sure[places], kind="stable")].tolist()  # type: ignore[no-any-return]


def _flipped_table(subject: Subject, full: LabelAnswers, other: LabelAnswers, rows: Sequence[int], name: str) -> Html:
    chosen, names = list(rows[:_SHOWN]), subject.labels
    inputs = subject.plan.prepared.test.data.select(chosen).inputs()
    cells: list[list[Cell]] = [
        [count(row), _input(subject, value), _named(full.truths, row, names)]
        + [f"{_named(one.predicted, row, names)} ({one.sure[row]:.2f})" for one in (full, other)]
        for row, value in zip(chosen, inputs, strict=True)
    ]
    caption = f"Rows that {name} answers otherwise, those that fp32 is surest of first"
    return table(caption, ["row", "input", "true", "fp32", name], cells)
