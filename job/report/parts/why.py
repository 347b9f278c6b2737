"""Why it answers so: whether its explanations are true, and which words speak for the labels."""

from tunewright.job.measure.faithfulness import Faithfulness
from tunewright.job.measure.rows.label_words import Word
from tunewright.job.report.html import Cell, Html, Number, Quoted, Section, joined, paragraph, table
from tunewright.job.report.subject import Subject

_MOST_LABELS = 100
NO_BETTER = "The explanations of this file are no better than random ones: show them to nobody."


def why(subject: Subject) -> Section | None:
    """None where nothing is explained and no words speak for labels."""
    parts = [*_explanations(subject.release.faithfulness), *_words(subject)]
    return Section("Why it answers so", joined(parts)) if parts else None


def _explanations(found: Faithfulness | None) -> list[Html]:
    if found is None:
        return []
    rows: list[list[Cell]] = [
        ["explained", Number(f"{found.deletion:.3f}"), Number(f"{found.insertion:.3f}")],
        ["random", Number(f"{found.random_deletion:.3f}"), Number(f"{found.random_insertion:.3f}")],
    ]
    heads = ["order", "hidden (lower is better)", "shown (higher is better)"]
    said = (
        f"Explanations (POST /explain) of {found.rows:,} test rows were held against random orders ({found.variant}): "
        "the mean score of an answer while the parts of its input are hidden one after the other, or shown."
    )
    warning = [] if found.is_better else [paragraph(NO_BETTER, "warning")]
    return [paragraph(said), *warning, table("Explanations beside random orders", heads, rows)]


def _words(subject: Subject) -> list[Html]:
    if subject.words is None or not any(subject.words.labels):
        return []
    rows: list[list[Cell]] = [
        [label, Quoted("; ".join(map(_told, words)) or "(none)")]
        for label, words in zip(subject.labels, subject.words.labels, strict=True)
    ]
    left = f" The first {_MOST_LABELS} of {len(rows)} labels are shown." if len(rows) > _MOST_LABELS else ""
    said = (
        "These are the words of a linear model (TF-IDF, logistic regression) of "
        f"{subject.words.rows:,} training rows, not of the model that is served: what plain reading finds. A word that "
        "has nothing to do with its label is a trap in the data, which the model that is served may have learned too. "
        "In brackets the 95 % interval of the weight; words that may weigh nothing are left out. The highest were "
        f"chosen, so that some of the intervals lie too high.{left}"
    )
    heads = ["label", "words with their weights, the surest first"]
    return [paragraph(said), table("Words that speak for the labels", heads, rows[:_MOST_LABELS])]


def _told(one: Word) -> str:
    return f"{one.word} {one.weight:.1f} ({one.low:.1f} to {one.high:.1f})"
