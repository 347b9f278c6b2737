"""Labels one by one, and which are taken for which."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunewright.job.measure.rows.answers import LabelAnswers
from tunewright.job.measure.rows.intervals import Interval, f1, share
from tunewright.job.report.html import Cell, Html, Number, Section, figure, figures, heading, joined, paragraph, table
from tunewright.job.report.subject import Subject, count, with_ends
from tunewright.job.report.svg import Axis, Bar, bars, heat

_DRAWN = 20
"""Labels in a drawing."""
_PAIRS = 20


def labels(subject: Subject) -> Section | None:
    """Precision, recall and F1 of each label; what is taken for what. None for another task."""
    answers = subject.answers
    if not isinstance(answers, LabelAnswers):
        return None
    names, figures_of = subject.labels, label_figures(answers, len(subject.labels))
    order = sorted(range(len(names)), key=lambda place: figures_of[place][2].value)
    rows: list[list[Cell]] = [
        [names[place], *(Number(with_ends(one)) for one in figures_of[place]), count(rows_of(answers, place))]
        for place in order
    ]
    heads = ["label", "precision", "recall", "F1", "test rows"]
    caption = "Labels, the worst F1 first, with 95 % intervals"
    parts = [_bars(names, order, figures_of), *(_confusions(answers, names) if answers.truths.ndim == 1 else [])]
    whole = table(caption, heads, rows, folded=len(rows) > 2 * _DRAWN)
    return Section("Labels", joined([figures(parts[:2]), *parts[2:], heading("By label"), whole]))


def label_figures(answers: LabelAnswers, size: int) -> list[tuple[Interval, Interval, Interval]]:
    """Precision, recall and F1 of each label."""
    return [_figures(*_counted(answers, place)) for place in range(size)]


def rows_of(answers: LabelAnswers, label: int) -> int:
    """Test rows that have it."""
    return int(_has(answers.truths, label).sum())


def _has(labels: NDArray[np.integer], label: int) -> NDArray[np.bool_]:
    return np.asarray(labels == label if labels.ndim == 1 else labels[:, label] > 0)


def _counted(answers: LabelAnswers, label: int) -> tuple[int, int, int, int]:
    """Told rightly, told wrongly, missed, and all rows."""
    true, said = _has(answers.truths, label), _has(answers.predicted, label)
    return int((true & said).sum()), int((~true & said).sum()), int((true & ~said).sum()), len(true)


def _figures(right: int, wrong: int, missed: int, rows: int) -> tuple[Interval, Interval, Interval]:
    return share(right, right + wrong), share(right, right + missed), f1(right, wrong, missed, rows)


def _bars(names: Sequence[str], order: Sequence[int], found: Sequence[tuple[Interval, Interval, Interval]]) -> Html:
    shown = order[:_DRAWN]
    given = [Bar(names[place], found[place][2].value, found[place][2][1:]) for place in shown]
    caption = "F1 by label, the worst first" + (f" ({_DRAWN} of {len(names)})" if len(names) > _DRAWN else "")
    described = "; ".join(f"{bar.name} {bar.value:.3f}" for bar in given)
    rows: list[list[Cell]] = [[names[place], Number(with_ends(found[place][2]))] for place in shown]
    behind = table("Numbers of the plot", ["label", "F1 with its 95 % interval"], rows, folded=True)
    return figure(caption, bars(caption, described, given, Axis("F1", 0, 1)), behind)


def confusion(truths: NDArray[np.generic], predicted: NDArray[np.generic], size: int) -> NDArray[np.int64]:
    """Rows that have one label and are told another, `[L, L]`; rows of labels that training never saw are left out."""
    known = np.asarray(truths, dtype=np.int64) < size
    pairs = np.asarray(truths, dtype=np.int64)[known] * size + np.asarray(predicted, dtype=np.int64)[known]
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


def _confusions(answers: LabelAnswers, names: Sequence[str]) -> list[Html]:
    counts = confusion(answers.truths, answers.predicted, len(names))
    wrong = counts - np.diag(np.diag(counts))
    # Of many labels those that are mixed up most.
    mixed = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:_DRAWN]
    chosen = np.sort(mixed).tolist()
    held, shown = counts[np.ix_(chosen, chosen)].tolist(), [names[place] for place in chosen]
    caption = "Confusion matrix" + (f" of the {_DRAWN} labels that are mixed up most" if len(names) > _DRAWN else "")
    cells: list[list[Cell]] = [[name, *(count(one) for one in row)] for name, row in zip(shown, held, strict=True)]
    behind = table("Numbers of the plot: true labels in rows, answers in columns", ["true", *shown], cells, folded=True)
    right = int(np.diag(counts).sum())
    described = f"{right:,} of {int(counts.sum()):,} rows lie on the diagonal, where answers are right."
    parts = [figure(caption, heat(caption, described, shown, held), behind)]
    return [*parts, *_pairs(wrong, counts, names)]


def _pairs(wrong: NDArray[np.int64], counts: NDArray[np.int64], names: Sequence[str]) -> list[Html]:
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    places = [(one // len(names), one % len(names)) for one in order.tolist() if wrong.flat[one]]
    if not places:
        return [paragraph("No test row was given another label than its own.")]
    rows: list[list[Cell]] = [
        [
            names[true],
            names[said],
            count(int(wrong[true, said])),
            Number(f"{wrong[true, said] / counts[true].sum():.1%}"),
        ]
        for true, said in places
    ]
    heads = ["true label", "answered", "test rows", "of the rows with the true label"]
    return [heading("What is taken for what"), table("The commonest mistakes", heads, rows)]
