"""HTML of a static page. What comes from a registry is text: it is escaped here, and nothing else makes markup."""

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """\
:root {
  color-scheme: light dark;
  --ground: #fbfaf8; --paper: #fff; --ink: #1d1f21; --quiet: #5b6066; --line: #d9d6d0; --accent: #0b5cad;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15171a; --paper: #1d2024; --ink: #e8e6e3; --quiet: #a4a9b0; --line: #383d44; --accent: #7db8f5;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); overflow-wrap: anywhere;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
.wide { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; }
header { background: var(--paper); border-bottom: 1px solid var(--line); padding: 1rem 0; }
nav { font-size: .9rem; }
nav ol { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem .6rem; margin: 0; padding: 0; }
nav li + li::before { content: "/"; color: var(--quiet); padding-right: .6rem; }
h1 { margin: .2rem 0; font-size: 1.8rem; line-height: 1.2; }
header p { margin: 0; color: var(--quiet); }
h2 { margin: 0 0 .6rem; font-size: 1.2rem; }
main.wide { display: grid; gap: 1.1rem; padding-top: 1.1rem; padding-bottom: 3rem;
  grid-template-columns: minmax(0, 1fr); }
section { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.25rem;
  min-width: 0; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: .2rem; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: .5rem; top: .5rem; background: var(--paper); padding: .5rem 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
caption { text-align: left; color: var(--quiet); font-size: .9rem; padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: top; padding: .28rem 1rem .28rem 0; border-bottom: 1px solid var(--line); }
thead th { font-size: .85rem; color: var(--quiet); vertical-align: bottom; }
td:not(:last-child), th { white-space: nowrap; }
td:last-child { min-width: 10rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .2rem 1.2rem; margin: 0; }
dt { color: var(--quiet); } dd { margin: 0; }
summary { cursor: pointer; color: var(--accent); }
details > .scroll { margin-top: .5rem; }
.figures { display: grid; gap: 1rem 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
figure { margin: 0; max-width: 44rem; } figcaption { font-weight: 600; }
.plot { width: 100%; height: auto; display: block; }
.plot text { fill: var(--quiet); font-size: 11px; font-family: inherit; }
.plot .grid { stroke: var(--line); fill: none; }
.plot .line { stroke: var(--accent); stroke-width: 2; fill: none; stroke-linejoin: round; }
.plot .whisker { stroke: var(--quiet); fill: none; }
.plot circle { fill: var(--accent); }
@media (max-width: 40rem) { dl { grid-template-columns: minmax(0, 1fr); } .wide { padding: 0 .6rem; }
  section { padding: .8rem; } dd { margin-bottom: .4rem; } }
@media print { :root { color-scheme: light; --ground: #fff; --paper: #fff; --ink: #000; --accent: #000; } }
"""
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
)
"""Nothing runs and nobody is asked."""


class Html(str):
    """Markup that was made here."""


def text(value: object) -> Html:
    """A value as people read it. Marks that turn the direction of a line stay within it."""
    return value if isinstance(value, Html) else Html(escape(str(value), quote=True))


def joined(parts: Iterable[Html], between: str = "\n") -> Html:
    """Parts in a row. `between`: plain text."""
    return Html(text(between).join(parts))


def link(address: str, words: object) -> Html:
    """A link to a file of the same site. `address`: relative."""
    return Html(f'<a href="{text(address)}"><bdi>{text(words)}</bdi></a>')


def section(title: str, *parts: Html) -> Html:
    """A part of a page under a heading; nothing where it has none."""
    return Html(f"<section><h2>{text(title)}</h2>\n{joined(parts)}</section>") if any(parts) else Html("")


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table whose rows begin with what they are about."""
    body = "\n".join(
        f'<tr><th scope="row"><bdi>{text(first)}</bdi></th>'
        + "".join(f"<td><bdi>{text(cell)}</bdi></td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    head = "".join(f'<th scope="col">{text(one)}</th>' for one in heads)
    # Who has no mouse scrolls it by keys.
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Names with what stands for each, but for what is not known."""
    lines = "".join(
        f"<dt>{text(name)}</dt><dd><bdi>{text(value)}</bdi></dd>\n" for name, value in pairs if value not in (None, "")
    )
    return Html(f"<dl>{lines}</dl>")


def folded(words: str, content: Html) -> Html:
    """What is shown to who asks for it."""
    return Html(f"<details><summary>{text(words)}</summary>{content}</details>")


def page(title: str, about: object, above: Sequence[tuple[str, str]], content: Iterable[Html]) -> str:
    """A whole page. `above`: address and words of the pages it lies below."""
    trail = "".join(f"<li>{link(address, words)}</li>" for address, words in above)
    where = f'<nav aria-label="Where you are"><ol>{trail}</ol></nav>' if trail else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{text(title)}: Tunewright</title>
<style>
{STYLE}</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header><div class="wide">{where}<h1><bdi>{text(title)}</bdi></h1><p>{text(about)}</p></div></header>
<main id="content" class="wide" tabindex="-1">
{joined(one for one in content if one)}
</main>
</body>
</html>
"""
