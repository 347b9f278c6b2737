"""The pieces of a page that stands alone: frame, sections, tables, figures. All text that is given is escaped here.

A page holds no script and asks nobody for anything: a policy in it says so to the browser.
"""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

_JOINERS = "\u200c\u200d"
"""Within words of Persian, and within pictures of several parts: nothing shows, and much reads wrong without."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; base-uri 'none'"


class Html(str):
    """What is markup already. Only the functions of this wing make it; any other `str` is text, and is escaped."""


@dataclass(frozen=True)
class Number:
    """A cell that stands on the right, as numbers do."""

    text: str


@dataclass(frozen=True)
class Quoted:
    """A cell with a text of somebody else, such as a row of data: it changes the direction of nothing beside it."""

    text: str


Cell = str | Number | Quoted


@dataclass(frozen=True)
class Section:
    """A part of a page, which its list of contents names."""

    title: str
    content: Html


def text(value: str) -> Html:
    """Text as it reads: no tag, no entity and no control character of it does anything."""
    shown = (one if one.isprintable() or one in _JOINERS else "\ufffd" for one in " ".join(value.split()))
    return Html(html.escape("".join(shown), quote=True))


def joined(parts: Iterable[Html]) -> Html:
    """One after the other."""
    return Html("\n".join(part for part in parts if part))


def paragraph(value: str, kind: str = "") -> Html:
    """A paragraph; `kind`: `quiet` for a remark, `warning` for what nobody may overlook."""
    return Html(f'<p class="{kind}">{text(value)}</p>' if kind else f"<p>{text(value)}</p>")


def heading(value: str) -> Html:
    """A heading within a section."""
    return Html(f"<h3>{text(value)}</h3>")


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, folded: bool = False) -> Html:
    """A table whose first column names its rows. `folded`: shown when it is asked for; its caption says what it is."""
    numeric = [bool(rows) and all(isinstance(row[at], Number) for row in rows) for at in range(len(heads))]
    columns = "".join(
        f'<th scope="col"{_number_class(right)}>{text(head)}</th>' for head, right in zip(heads, numeric, strict=True)
    )
    body = "\n".join(f"<tr>{_row(row)}</tr>" for row in rows)
    label = text(caption)
    shown = "" if folded else f"<caption>{label}</caption>"
    whole = (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table>{shown}'
        f"<thead><tr>{columns}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )
    return Html(f"<details><summary>{label}</summary>{whole}</details>" if folded else whole)


def _row(row: Sequence[Cell]) -> str:
    first, *rest = row
    lead = f'<th scope="row"{_number_class(isinstance(first, Number))}>{_content(first)}</th>'
    return lead + "".join(_cell(cell) for cell in rest)


def _cell(cell: Cell) -> str:
    kind = ' class="text"' if isinstance(cell, Quoted) else _number_class(isinstance(cell, Number))
    return f"<td{kind}>{_content(cell)}</td>"


def _number_class(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _content(cell: Cell) -> str:
    if isinstance(cell, Number):
        return text(cell.text)
    if isinstance(cell, Quoted):
        return f"<bdi>{text(cell.text)}</bdi>"
    # A name without spaces may go on in the next line after each of its parts.
    return cell if isinstance(cell, Html) else text(cell).replace("_", "_<wbr>")


def picture(data: str, described: str) -> Html:
    """A small picture in a cell. `data`: a `data:` address made by the caller from checked bytes."""
    return Html(f'<img class="thumb" src="{html.escape(data, quote=True)}" alt="{text(described)}">')


def player(data: str, described: str) -> Html:
    """A recording in a cell. `data`: as of a picture."""
    address, label = html.escape(data, quote=True), text(described)
    return Html(f'<audio class="player" controls preload="none" src="{address}" aria-label="{label}"></audio>')


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Names with what stands for each."""
    lines = "\n".join(f"<dt>{text(name)}</dt><dd><bdi>{text(value)}</bdi></dd>" for name, value in pairs)
    return Html(f"<dl>{lines}</dl>")


def figure(caption: str, plot: Html, behind: Html, note: str = "") -> Html:
    """A plot with the table of its numbers behind it."""
    under = paragraph(note, "quiet") if note else Html("")
    return Html(f"<figure><figcaption>{text(caption)}</figcaption>{plot}{under}{behind}</figure>")


def figures(several: Iterable[Html]) -> Html:
    """Figures side by side where there is room."""
    return Html(f'<div class="figures">{joined(several)}</div>')


def page(title: str, about: str, sections: Sequence[Section], *, language: str = "en") -> str:
    """A whole page: one file that needs nothing beside it."""
    css = files(__package__).joinpath("page.css").read_text()
    names = [_anchor(section.title, place) for place, section in enumerate(sections)]
    contents = "".join(
        f'<li><a href="#{name}">{text(section.title)}</a></li>' for name, section in zip(names, sections, strict=True)
    )
    body = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{text(section.title)}</h2>\n'
        f"{section.content}</section>"
        for name, section in zip(names, sections, strict=True)
    )
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{text(title)}: Tunewright</title>
<style>{css}</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header><div class="wide"><p class="maker">Tunewright</p><h1>{text(title)}</h1><p>{text(about)}</p>
<nav aria-label="Contents"><ul>{contents}</ul></nav></div></header>
<main id="content" class="wide" tabindex="-1">
{body}
</main>
</body>
</html>
"""


def _anchor(title: str, place: int) -> str:
    return f"s{place}-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
