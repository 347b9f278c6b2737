"""Numbers: the answers beside what is true, and how far off they are; vectors: where they lie, and what is near."""

from collections.abc import Sequence

import numpy as np

from tunewright.job.data.dataset import strings
from tunewright.job.measure.faithfulness import spread as evenly
from tunewright.job.measure.rows.answers import NumberAnswers
from tunewright.job.measure.rows.vector_map import VectorMap
from tunewright.job.report.html import Cell, Html, Number, Quoted, Section, figure, figures, joined, table
from tunewright.job.report.subject import Subject, count, cut, told
from tunewright.job.report.svg import Series, axis_over, points, short

_DRAWN = 400
"""Rows that are drawn."""
_SHARES = (5, 25, 50, 75, 95)
_NEIGHBOURS = 20
"""Rows whose neighbours are shown."""


def numbers(subject: Subject) -> Section | None:
    """None for another task."""
    answers = subject.answers
    if not isinstance(answers, NumberAnswers):
        return None
    chosen = spread(answers)
    truths, given = (held[chosen].astype(float).tolist() for held in (answers.truths, answers.answers))
    errors = [answer - truth for truth, answer in zip(truths, given, strict=True)]
    name = subject.labels[0] if subject.labels else "score"
    x, both = axis_over(f"true {name}", truths), axis_over("answered", [*truths, *given])
    across, residual = [Series("rows", truths, given)], [Series("rows", truths, errors)]
    metrics = "; ".join(f"{one} {told(one, value)}" for one, value in subject.evaluation.metrics.items())
    rows = [
        [Number(f"{a:.5g}"), Number(f"{b:.5g}"), Number(f"{c:+.5g}")]
        for a, b, c in zip(truths, given, errors, strict=True)
    ]
    of = f"Numbers of both plots: {len(chosen):,} of {len(answers.truths):,} rows"
    behind = table(of, [f"true {name}", "answered", "error"], rows, folded=True)
    scatter = points("Answered against true", f"Dots near the line are right. {metrics}.", across, x, both, ideal=True)
    y = axis_over("answered less true", [*errors, 0.0])
    spreading = points("Errors", "Dots above 0 were answered too high.", residual, x, y, level=True)
    plots = [figure("Answered against true", scatter, behind), figure("Errors", spreading, Html(""))]
    return Section("Answers and errors", joined([figures(plots), _quantiles(answers, name)]))


def spread(answers: NumberAnswers) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The rows that are drawn: all, or so many that lie evenly over what is true."""
    order = np.argsort(answers.truths, kind="stable")
    if len(order) <= _DRAWN:
        return order
    return order[np.linspace(0, len(order) - 1, _DRAWN).round().astype(np.int64)]


def _quantiles(answers: NumberAnswers, name: str) -> Html:
    errors = answers.answers.astype(np.float64) - answers.truths
    found = [("error (answered less true)", errors), ("size of the error", np.abs(errors))]
    rows: list[list[Cell]] = [
        [what, *(Number(short(round(float(np.percentile(held, at)), 6))) for at in _SHARES)] for what, held in found
    ]
    heads = [f"of {name}", *(f"{at} % of the rows below" for at in _SHARES)]
    return table("How far off all test rows are", heads, rows)


def vectors(subject: Subject) -> Section | None:
    """None for a task that makes no vectors."""
    found = subject.release.vectors
    if found is None:
        return None
    xs, ys = (list(side) for side in zip(*found.points, strict=True))
    inputs = subject.plan.prepared.test.data.select(found.rows).inputs()
    # Of a pair its first text has the vector.
    texts = [cut(" ".join(next(strings(value), "").split())) for value in inputs]
    heads = ["row", "text", "first direction", "second direction"]
    rows: list[list[Cell]] = [
        [count(row), Quoted(text), Number(f"{x:.4f}"), Number(f"{y:.4f}")]
        for row, text, x, y in zip(found.rows, texts, xs, ys, strict=True)
    ]
    behind = table(f"Numbers of the map: {len(rows):,} test rows", heads, rows, folded=True)
    said = f"The two directions in which the vectors differ most hold {found.explained:.0%} of what they differ by."
    x, y = axis_over("first direction", xs), axis_over("second direction", ys)
    scatter = points("Map of the vectors", said, [Series("rows", xs, ys)], x, y)
    caution = "Points that lie together may differ in all other directions: the neighbours are by the whole vectors."
    plot = figure(f"Map of the vectors ({found.variant})", scatter, behind, f"{said} {caution}")
    return Section("Vectors", joined([figures([plot]), _neighbours(found, texts)]))


def _neighbours(found: VectorMap, texts: Sequence[str]) -> Html:
    """Rows spread evenly over those of the map."""
    rows: list[list[Cell]] = [
        [
            count(found.rows[at]),
            Quoted(texts[at]),
            Quoted(" | ".join(f"{cosine:.2f} {texts[other]}" for other, cosine in found.nearest[at])),
        ]
        for at in evenly(len(texts), _NEIGHBOURS)
    ]
    return table("Nearest test rows, with the cosine", ["row", "text", "nearest to it"], rows)
