"""Tags: what is wrong with the entities that are not right."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tunewright.job.measure.rows.answers import TagAnswers
from tunewright.job.measure.rows.intervals import share
from tunewright.job.report.html import Cell, Html, Number, Section, figure, figures, joined, paragraph, table
from tunewright.job.report.subject import Subject, count
from tunewright.job.report.svg import Axis, Bar, bars

ERRORS = {
    "right": "the same words, the same kind",
    "kind": "the same words, another kind",
    "boundary": "the same kind, words in common",
    "both": "words in common, another kind",
    "missed": "nothing was found there",
}


class Span(NamedTuple):
    """An entity: its words from `first` to `last`, both of it."""

    kind: str
    first: int
    last: int


def tags(subject: Subject) -> Section | None:
    """None for another task."""
    answers = subject.answers
    if not isinstance(answers, TagAnswers):
        return None
    parts = [_by_kind(subject)]
    if subject.release.model.problem == "entities":
        counts, spurious = faults(answers.truths, answers.answers)
        total = counts.total()
        cells: list[list[Cell]] = [
            [name, means, count(counts[name]), Number(f"{counts[name] / total:.1%}" if total else "–")]
            for name, means in ERRORS.items()
        ]
        cells.append(["spurious", "found where nothing is", count(spurious), Number("")])
        heads = ["outcome", "what it means", "entities", "of the true ones"]
        parts.append(table("True entities by what was answered", heads, cells))
    return Section("Tags", joined(parts))


def faults(truths: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> tuple[Counter[str], int]:
    """True entities by what was answered, and how many answers have no word in common with any."""
    counts: Counter[str] = Counter()
    spurious = 0
    for true, said in zip(truths, answers, strict=True):
        known, found = spans(true), spans(said)
        counts.update(_fault(one, found) for one in known)
        spurious += sum(not any(_meet(one, other) for other in known) for one in found)
    return counts, spurious


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of a sentence, as seqeval finds them."""
    from seqeval.metrics.sequence_labeling import get_entities

    return [Span(*found) for found in get_entities(list(tags))]


def _fault(true: Span, found: Sequence[Span]) -> str:
    if true in found:
        return "right"
    if any(one[1:] == true[1:] for one in found):
        return "kind"
    meeting = [one for one in found if _meet(one, true)]
    if any(one.kind == true.kind for one in meeting):
        return "boundary"
    return "both" if meeting else "missed"


def _meet(one: Span, other: Span) -> bool:
    return one.first <= other.last and other.first <= one.last


def _by_kind(subject: Subject) -> Html:
    details = sorted(subject.evaluation.details, key=lambda one: one["f1"])
    rows: list[list[Cell]] = [
        [
            one["label"],
            *(Number(f"{value:.3f}") for value in (one["precision"], one["recall"], one["f1"])),
            count(one["rows"]),
        ]
        for one in details
    ]
    given = [
        Bar(one["label"], one["recall"], share(round(one["recall"] * one["rows"]), one["rows"])[1:])
        for one in details[:20]
    ]
    caption = "Recall, the worst F1 first, with 95 % intervals"
    behind: list[list[Cell]] = [
        [
            bar.name,
            Number(f"{bar.value:.3f}"),
            Number("–" if bar.interval is None else f"{bar.interval[0]:.3f} to {bar.interval[1]:.3f}"),
        ]
        for bar in given
    ]
    drawn = bars(caption, "; ".join(f"{bar.name} {bar.value:.3f}" for bar in given), given, Axis("recall", 0, 1))
    numbers = table("Numbers of the plot", ["kind", "recall", "95 % interval"], behind, folded=True)
    whole = table("By kind", ["kind", "precision", "recall", "F1", "in the test rows"], rows)
    return joined([figures([figure(caption, drawn, numbers)]), whole]) if details else paragraph("No entity was there.")
