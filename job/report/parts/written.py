"""Texts: how near they come by what they answer, and some of them beside what was to be written."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunewright.job.measure.rows.answers import TextAnswers
from tunewright.job.measure.rows.intervals import Interval, mean
from tunewright.job.report.html import Cell, Html, Number, Quoted, Section, joined, paragraph, table
from tunewright.job.report.subject import Subject, count, cut, shown, with_ends

_SAMPLES = 8
_WORDS = ((0, 0), (1, 1), (2, 3), (4, 6), (7, 12), (13, 10**9))
"""Lengths of answers, in words."""


def written(subject: Subject) -> Section | None:
    """None for another task."""
    answers = subject.answers
    if not isinstance(answers, TextAnswers):
        return None
    extractive = subject.release.model.problem == "extractive"
    parts = [_by_answer(answers)] if extractive else [_form(answers)]
    parts.append(_samples(subject, answers))
    return Section("Answers" if extractive else "Texts", joined(parts))


def _by_answer(answers: TextAnswers) -> Html:
    rows: list[list[Cell]] = [
        [name, count(rows), Number(with_ends(figure)), Number(f"{empty:.1%}")]
        for name, rows, figure, empty in by_answer(answers)
    ]
    heads = ["length of the right answer", "questions", f"{answers.figure} (95 % interval)", "answered with nothing"]
    return table("By what is to be answered", heads, rows)


def by_answer(answers: TextAnswers) -> list[tuple[str, int, Interval, float]]:
    """Questions by the words of their shortest right answer: how many, what they reach, how many get no answer."""
    lengths = np.array([min(len(one.split()) for one in truths) for truths in answers.truths])
    empty = np.array([not one.strip() for one in answers.answers])
    found = []
    for low, high in _WORDS:
        inside = (lengths >= low) & (lengths <= high)
        if inside.any():
            name = "no answer" if high == 0 else _words(low, high)
            found.append((name, int(inside.sum()), mean(answers.scores[inside]), float(empty[inside].mean())))
    return found


def _words(low: int, high: int) -> str:
    if low == high:
        return "1 word" if low == 1 else f"{low} words"
    return f"{low} words and more" if high >= 10**9 else f"{low} to {high} words"


def repetition(text: str) -> float:
    """Share of the sequences of 4 words that stood in the text before; of shorter texts 0."""
    words = text.split()
    grams = Counter(tuple(words[at : at + 4]) for at in range(len(words) - 3))
    return 1 - len(grams) / grams.total() if grams else 0.0


def _form(answers: TextAnswers) -> Html:
    references = [one[0] for one in answers.truths]
    said, true = ([len(one.split()) for one in held] for held in (answers.answers, references))
    rows: list[list[Cell]] = [
        ["words, median", *(Number(f"{np.median(held):g}") for held in (said, true))],
        ["words, 95 % of the texts below", *(Number(f"{np.percentile(held, 95):g}") for held in (said, true))],
        ["empty texts", *(Number(f"{np.mean(np.equal(held, 0)):.1%}") for held in (said, true))],
        ["repeated sequences of 4 words", *(_repeated(held) for held in (answers.answers, references))],
    ]
    return table("Length and repetition", ["of the texts", "written", "to be written"], rows)


def _repeated(texts: Sequence[str]) -> Number:
    return Number(f"{np.mean(list(map(repetition, texts))):.1%}")


def _samples(subject: Subject, answers: TextAnswers) -> Html:
    order = np.argsort(answers.scores, kind="stable")
    worst, middle = order[:_SAMPLES].tolist(), _middle(order).tolist()
    heads = ["row", answers.figure, "asked", "to be written", "written"]
    parts = [table("The rows that come least near", heads, _beside(subject, answers, worst))]
    if len(order) > 3 * _SAMPLES:
        parts.append(table("Rows in the middle", heads, _beside(subject, answers, middle)))
    note = "Rows are numbered from 0 in the order of the test side."
    return joined([*parts, paragraph(note, "quiet")])


def _middle(order: NDArray[np.int64]) -> NDArray[np.int64]:
    start = max(0, len(order) // 2 - _SAMPLES // 2)
    return order[start : start + _SAMPLES]


def _beside(subject: Subject, answers: TextAnswers, rows: Sequence[int]) -> list[list[Cell]]:
    inputs = subject.plan.prepared.test.data.select([answers.rows[row] for row in rows]).inputs()
    return [
        [
            count(answers.rows[row]),
            Number(f"{answers.scores[row]:.3f}"),
            shown(value),
            Quoted(cut(answers.truths[row][0] or "(no answer)")),
            Quoted(cut(answers.answers[row] or "(nothing)")),
        ]
        for row, value in zip(rows, inputs, strict=True)
    ]
