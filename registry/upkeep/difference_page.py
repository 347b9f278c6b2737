"""The differences of two versions as one page that asks nobody for anything."""

from collections.abc import Iterable, Sequence
from html import escape

from tunewright.registry.upkeep.difference import Change, ChangedRow, Difference, Rows
from tunewright.registry.versions.document import as_text

MOST_ROWS = 1000
"""Rows in the page; `--json` has all."""
_STYLE = """\
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884;
  overflow-wrap: anywhere; }
"""


def page(found: Difference) -> str:
    """The page; whatever stands in the versions is shown as text."""
    before, after = str(found.before), str(found.after)
    title = escape(f"{before} and {after}")
    parts = [f"<h1>{title}</h1>"]
    parts += [f"<p>Note: {escape(remark)}.</p>" for remark in found.remarks]
    if found.changes:
        parts.append(_table("What is not alike", ("about", "what", before, after), map(cells_of_change, found.changes)))
    else:
        parts.append("<p>They differ in nothing that their files tell.</p>")
    if found.rows:
        parts += _of_rows(found.rows, before, after)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>\n{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def summary(rows: Rows) -> str:
    """How the rows went, in a sentence."""
    low, high = rows.interval
    said = f"of {rows.shared:,} test rows that both were measured on {rows.better:,} went better, {rows.worse:,} worse"
    said += (
        f" and {rows.other:,} otherwise: {rows.figure} {rows.difference:+.4f} (95 % interval {low:+.4f} to {high:+.4f}"
    )
    said += ")" if rows.p_value is None else f", McNemar's p {rows.p_value:.2g})"
    return said + (f"; of {rows.retold:,} more something else is true now" if rows.retold else "")


def cells_of_change(change: Change) -> tuple[str, ...]:
    """One line of a table: figures with four digits where these tell them apart, digests by their first ones."""
    values = (change.before, change.after)
    exact = cells = [as_text(value) for value in values]
    if change.about == "figures":
        cells = [f"{value:.4g}" if isinstance(value, float) else as_text(value) for value in values]
    elif change.about == "content":
        cells = [text[:19] for text in exact]
    return (change.about, change.name, *(cells if cells[0] != cells[1] else exact))


def cells_of(rows: Iterable[ChangedRow]) -> list[tuple[str, ...]]:
    """One line of a table for each row."""
    return [
        (str(one.row), one.key, *map(as_text, (one.true, one.before, one.after)), one.change, f"{one.gained:+.4g}")
        for one in rows
    ]


HEADS = ("row", "input", "true")
"""Of the columns before the answers of the two versions, then CHANGE and BY."""


def _of_rows(rows: Rows, before: str, after: str) -> list[str]:
    said = summary(rows)
    parts = [f"<h2>Test rows</h2>\n<p>{escape(said[0].upper() + said[1:])}.</p>"]
    shown = rows.changed[:MOST_ROWS]
    if shown:
        heads = (*HEADS, before, after, "change", "by")
        more = len(rows.changed) - len(shown)
        caption = "Rows that went otherwise, the worst first" + (f" (and {more:,} more)" if more else "")
        parts.append(_table(caption, heads, cells_of(shown)))
        parts.append(
            "<p>Rows are numbered from 0 in the order of the test side of the later version, as in its report; an "
            "input is told by a number of it.</p>"
        )
    return parts


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    top = f"<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>"
    return f"<table>\n{top}\n<tbody>\n{body}</tbody>\n</table>"
