"""The doctor's findings as one page that needs nothing beside it."""

from collections.abc import Iterator

from tunewright.job.data.doctor.finding import Diagnosis, Finding, SideFacts
from tunewright.job.report.html import Html, Number, Section, heading, joined, page, paragraph, table
from tunewright.job.settings.job import JobSettings

_LABELS = 50
"""Labels that a table shows before the rest is counted together."""


def doctor_page(found: Diagnosis, settings: JobSettings) -> str:
    """The whole page."""
    sections = [Section("Findings", _findings(found)), Section("Sides", _sides(found))]
    if any(facts.labels for facts in found.sides.values()):
        sections.append(Section("Labels", _labels(found)))
    if found.columns:
        sections.append(Section("Columns", _columns(found)))
    about = f"What is in the data of {settings.model_name} ({settings.task}), before anything is learned."
    return page("Know your data", about, sections)


def _findings(found: Diagnosis) -> Html:
    if not found.findings:
        return paragraph("Nothing was found in these rows.")
    counts = [
        f"{count} {name if count == 1 else several}"
        for name, several in (("serious", "serious"), ("warning", "warnings"), ("note", "notes"))
        if (count := sum(one.severity == name for one in found.findings))
    ]
    noun = "finding" if len(found.findings) == 1 else "findings"
    parts = [paragraph(f"{len(found.findings)} {noun}: {', '.join(counts)}. Rows are told by file and number.")]
    parts += [_finding(one) for one in found.findings]
    return joined(parts)


def _finding(one: Finding) -> Html:
    parts = [
        heading(f"{one.severity.capitalize()}: {one.kind.replace('_', ' ')} in {one.side}"),
        paragraph(f"{one.text}.", "warning" if one.severity == "serious" else ""),
        paragraph(f"What to do: {one.advice}."),
    ]
    if one.examples:
        rows = [(example.file, Number(f"{example.line:,}")) for example in one.examples]
        which = "The rows" if len(rows) == one.rows else f"The first {len(rows)} of {one.rows:,} rows"
        parts.append(table(which, ("file", "row"), rows, folded=True))
    return joined(parts)


def _sides(found: Diagnosis) -> Html:
    heads = ("side", "rows", "characters", "tokens", "cut", "unknown tokens", "scripts")
    rows = [(name, *_side(facts)) for name, facts in found.sides.items()]
    note = paragraph("Lengths: the middle one / 95 % have no more / the longest.", "quiet")
    return joined([table("What each side holds", heads, rows), note])


def _side(facts: SideFacts) -> Iterator[str | Number]:
    yield Number(f"{facts.rows:,}")
    yield " / ".join(f"{value:,}" for value in facts.characters or ())
    tokens = facts.tokens
    yield f"{tokens.median:,} / {tokens.most:,} / {tokens.longest:,} (limit {tokens.limit:,})" if tokens else ""
    yield Number(f"{tokens.cut:.1%}" if tokens else "")
    yield Number("" if facts.unknown_tokens is None else f"{facts.unknown_tokens:.2%}")
    yield ", ".join(f"{name} {share:.1%}" for name, share in list(facts.scripts.items())[:4])


def _labels(found: Diagnosis) -> Html:
    sides = list(found.sides)
    names = list(dict.fromkeys(label for facts in found.sides.values() for label in facts.labels))
    shown = names if len(names) <= _LABELS else names[: _LABELS - 1]
    rows: list[tuple[str | Number, ...]] = [
        (label, *(Number(f"{found.sides[side].labels.get(label, 0):,}") for side in sides)) for label in shown
    ]
    if len(shown) < len(names):
        rest = set(names) - set(shown)
        counts = [sum(found.sides[side].labels.get(label, 0) for label in rest) for side in sides]
        rows.append((f"{len(rest):,} others", *(Number(f"{count:,}") for count in counts)))
    return table("Rows of each label", ("label", *sides), rows)


def _columns(found: Diagnosis) -> Html:
    likely = {name: role for role, name in found.likeliest.items()}
    rows = [
        (one.name, one.role, likely.get(one.name, ""), one.holds, Number(f"{one.empty:.1%}")) for one in found.columns
    ]
    heads = ("column", "used as", "likeliest as", "holds", "empty")
    note = "The first file of the training rows, up to 50,000 rows of it."
    return joined([table("What each column holds", heads, rows), paragraph(note, "quiet")])
