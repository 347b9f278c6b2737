"""What answers do where the test texts are written otherwise."""

from tunewright.job.measure.rows.altered import HARMLESS
from tunewright.job.measure.rows.robustness import Flips
from tunewright.job.report.html import Cell, Number, Section, joined, paragraph, table
from tunewright.job.report.subject import Subject, count

WAYS = {
    "typos": "typos in one word of ten",
    "lower_case": "small letters",
    "upper_case": "capitals",
    "punctuation": "without commas, colons and full stops, or with one more",
    "names": "other first names",
    "numbers": "other last digits",
    "negation": "negated (English)",
}
"""What is done to the texts, as people read it."""
SAID = (
    "An answer should stay where a text is only written otherwise; after a negation another may be the right one, so "
    "that row is shown and no gate counts it."
)


def robustness(subject: Subject) -> Section | None:
    """None where no labels of texts are told."""
    found = subject.release.robustness
    if found is None:
        return None
    rows: list[list[Cell]] = [
        [
            way,
            count(one.rows),
            count(one.flipped),
            Number(flipped(one)),
            "should stay" if kind in HARMLESS else "may change",
        ]
        for kind, way in WAYS.items()
        if (one := found.kinds[kind])
    ]
    heads = ["test texts", "rows that this changes", "other answers", "share (95 % interval)", "the answer"]
    said = f"{SAID} {found.rows:,} test rows were looked at ({found.variant})."
    return Section("Robustness", joined([paragraph(said), table("Answers to texts written otherwise", heads, rows)]))


def flipped(one: Flips) -> str:
    """A share with its interval; nothing where no row was changed."""
    low, high = one.interval
    return f"{one.share:.1%} ({low:.1%} to {high:.1%})" if one.rows else ""
