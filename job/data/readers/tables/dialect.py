"""How a table is written: its separator, its quotes and the line of its header, found in the first lines.

What the settings tell is not guessed at. Where a separator gives columns, but not those wanted, the error says so.
"""

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.lines import LINE_LIMIT
from tunewright.job.data.readers.reader import Layout
from tunewright.job.errors import DataError
from tunewright.job.progress.events import say, warn

_COMMON = (",", ";", "\t", "|")
SEPARATORS = (*_COMMON, "^", "~", "@", ":", "\x01", " ")
"""Characters that separate columns in the files of others, the likelier ones first."""
_LOOKED_AT = 20
"""Lines that a guess at the dialect looks at."""
_LOOKED_AT_SIZE = 2**16
"""Characters of these lines."""
_NAMES = {"\t": "a tab", " ": "a blank"}
_SEP_LINE = re.compile(r'\ufeff?"?sep=(.)"?[,;\t|]*\r?\n?', re.IGNORECASE)
"""Excel's own way of telling the separator, as the first line; other programs quote it as they do every line."""


def opened(text: Iterator[str], address: str, layout: Layout) -> tuple[int, Iterator[str], Layout]:
    """How many lines stand above the header, the lines from there on, and the layout as the first lines show it."""
    line = next(text, "")
    said = _SEP_LINE.fullmatch(line)
    first = list(itertools.islice(text if said else itertools.chain([line] if line else [], text), _LOOKED_AT))
    if said and not layout.delimiter:
        told = replace(layout, delimiter=said[1])
        layout = told if dialect(_few(first), told) else layout
    above, layout = _told(first, address, layout)
    return bool(said) + above, itertools.chain(first[above:], text), layout


def _told(first: Sequence[str], address: str, layout: Layout) -> tuple[int, Layout]:
    """The lines above the header, and the layout with the separator and the quote character that the first lines show.

    DataError where another separator gives columns, but not those wanted, or those that the one of the settings lacks.
    """
    usual = _with_defaults(layout)
    if not first or not layout.wanted:
        return 0, usual
    first = _few(first)
    for above in _starts(first, layout):
        guess = dialect(first[above:], layout)
        if guess and _is_above(first[:above], first[above], guess):
            if any(line.strip() for line in first[:above]):
                warn("data", f"{address}: the header is found in line {above + 1}; what stands above it is left out")
            if said := _said(usual, guess):
                say("data", f"{address}: {said}")
            return above, guess
    _refuse_settings(first, address, layout)
    found = None if layout.delimiter else separator(first, usual)
    if found not in (None, usual.delimiter):
        raise DataError(f"{address}: {advice(first, found, layout)}")
    return 0, usual


def _starts(first: Sequence[str], layout: Layout) -> list[int]:
    """Where the table may begin."""
    return [place for place, line in enumerate(first) if line.strip()] if layout.header else [0]


def _refuse_settings(first: Sequence[str], address: str, layout: Layout) -> None:
    """DataError where the settings tell a dialect that does not give the columns and another does."""
    given = [name for name in ("delimiter", "quote", "quoting") if getattr(layout, name) is not None]
    for names in [*([name] for name in given), given]:
        told = " and ".join(f"data.{name} is {shown(getattr(layout, name))}" for name in names)
        told = f"{address}: {told}, which does not give the columns {' and '.join(map(shown, layout.wanted))}"
        free = replace(
            layout,
            delimiter=None if "delimiter" in names else layout.delimiter,
            quote=None if "quote" in names else layout.quote,
            quoting=None if "quoting" in names else layout.quoting,
        )
        for above in _starts(first, layout) if names else []:
            other = dialect(first[above:], free)
            if other is None or dialect(first[above:], layout):
                continue
            if names == ["delimiter"]:
                raise DataError(
                    f"{told}; {name_of(other.delimiter)} does: set `delimiter: {json.dumps(other.delimiter)}` under "
                    "data:, or remove data.delimiter"
                )
            settings = " and ".join(f"data.{name}" for name in names)
            raise DataError(f"{told}; what the file itself shows does: remove {settings}")
        if names == ["delimiter"]:
            found = separator(first, _with_defaults(free))
            columns = parsed(first[:1], replace(layout, quoting=False))
            if found and found != layout.delimiter and len(columns[:1] and columns[0]) < 2:
                raise DataError(f"{told}; {advice(first, found, layout)}")


def dialect(first: Sequence[str], layout: Layout) -> Layout | None:
    """The layout that gives the wanted columns, of which the usual one comes first; None where none does."""
    usual = _with_defaults(layout)
    for guess in _guesses(usual, layout):
        guess = _with_blanks(first, guess) or guess
        is_usual = replace(guess, skip_blanks=False) == usual
        if _fits(first, guess) and (is_usual or guess.quote == '"' or first[0].lstrip().startswith(str(guess.quote))):
            return guess
    return None


def _guesses(usual: Layout, layout: Layout) -> Iterator[Layout]:
    """What the settings leave open, the likelier first."""
    yield usual
    for quote in [layout.quote] if layout.quote else ['"', "'"]:
        for delimiter in [layout.delimiter] if layout.delimiter else dict.fromkeys([usual.delimiter, *SEPARATORS]):
            # A TSV without tabs is a CSV in all but its name, and one with quotes around its header has them elsewhere.
            quoting = usual.quoting if layout.quoting is not None or layout.quote else True
            yield replace(usual, delimiter=delimiter, quote=quote, quoting=quoting)


def _with_blanks(first: Sequence[str], layout: Layout) -> Layout | None:
    """The layout in which blanks before a quote are no part of a value, where the first lines are written so."""
    if not layout.quoting or layout.delimiter == " ":
        return None
    start = f" {layout.quote}"
    if not any((cell[:1] + cell.lstrip(" ")[:1]) == start for row in parsed(first, layout) for cell in row):
        return None
    spaced = replace(layout, skip_blanks=True)
    return spaced if _width(parsed(first, spaced)) else None


def _few(lines: Sequence[str]) -> Sequence[str]:
    """The first line, and as many more as are read over and over in no time."""
    sizes = itertools.accumulate(map(len, lines))
    return lines[: max(1, sum(size <= _LOOKED_AT_SIZE for size in sizes))]


def _is_above(above: Sequence[str], header: str, layout: Layout) -> bool:
    """Whether lines are a title or comments: no row of the table that begins below them."""
    names = parsed([header], layout)
    rows = [parsed([line], replace(layout, quoting=False)) for line in above if not line.startswith("#")]
    return not above or (bool(names) and all(len(row[0]) != len(names[0]) for row in rows if row))


def separator(first: Sequence[str], layout: Layout) -> str | None:
    """What divides each of these lines into the same number of columns, enough of them; None where nothing does."""
    for delimiter in dict.fromkeys([layout.delimiter or ",", *SEPARATORS]):
        guess = replace(layout, delimiter=delimiter)
        rows = parsed(first, replace(guess, quoting=True)) or parsed(first, replace(guess, quoting=False))
        if len(rows) > 1 and _width(rows) >= max(2, len(layout.wanted)):
            return delimiter
    return None


def advice(first: Sequence[str], delimiter: str | None, layout: Layout) -> str:
    """What to add to the settings of a table whose columns are divided so and do not have the names that are wanted."""
    verb = "set" if layout.delimiter else "add"
    told = f"{name_of(delimiter)} separates the columns; {verb} `delimiter: {json.dumps(delimiter)}` under data:"
    if not layout.header:
        return told
    names = parsed(first[:1], replace(layout, delimiter=delimiter, quoting=True)) or [[]]
    places = ", ".join(f"{role}: {place}" for place, role in enumerate(layout.roles or layout.wanted))
    return (
        f"{told} and say in data.columns which of {listed(map(shown, names[0]), 5)} is which, or add "
        f"`header: false` and `columns: {{{places}}}` (positions from 0) where the first line is data already"
    )


def name_of(delimiter: str | None) -> str:
    """A separator as an error shows it."""
    return _NAMES.get(str(delimiter), repr(delimiter))


def _with_defaults(layout: Layout) -> Layout:
    is_tsv = layout.format == "tsv"
    return replace(
        layout,
        delimiter=layout.delimiter or ("\t" if is_tsv else ","),
        quote=layout.quote or '"',
        quoting=layout.quoting if layout.quoting is not None else not is_tsv or layout.quote is not None,
    )


def _said(usual: Layout, guess: Layout) -> str:
    """What was found, in the words of the settings that would say it; empty for what needs no words."""
    parts = []
    if guess.delimiter != usual.delimiter:
        parts.append(f"{name_of(guess.delimiter)} separates the columns (data.delimiter)")
    if guess.quote != usual.quote:
        parts.append("single quotes enclose the values (data.quote)")
    if guess.quoting and not usual.quoting and guess.delimiter == usual.delimiter and guess.quote == usual.quote:
        parts.append("double quotes enclose the values (data.quoting)")
    return " and ".join(parts)


def _fits(first: Sequence[str], layout: Layout) -> bool:
    """Whether the first lines, read so, have the columns that are wanted."""
    rows = parsed(first, layout)
    if not layout.header:
        return bool(rows) and all(len(row) > max(map(int, layout.wanted)) for row in rows)
    # A wrong quote further down is told with its line; the header is enough to know the separator.
    rows = rows or parsed(first[:1], layout) or parsed(first[:1], replace(layout, quoting=False))
    if not rows or not set(layout.wanted) <= {name.strip() for name in rows[0]}:
        return False
    return layout.delimiter in _COMMON or bool(_width(rows))


def _width(rows: Sequence[Sequence[str]]) -> int:
    """The columns that every row has, not counting those behind the last that holds something; 0 where they differ."""
    for columns in (len, filled):
        widths = {columns(row) for row in rows}
        if len(widths) == 1:
            return widths.pop()
    return 0


def filled(values: Sequence[str]) -> int:
    """Columns up to the last that holds something: separators may follow it in some lines and not in others."""
    return max((place for place, value in enumerate(values, 1) if value.strip()), default=0)


def parsed(lines: Iterable[str], layout: Layout) -> list[list[str]]:
    """The rows of these lines but for one that goes on below them; none where quotes are no quotes."""
    rows: list[list[str]] = []
    try:
        for row in table_reader(iter(lines), layout):
            if row:
                rows.append(row)
    except csv.Error as error:
        return rows if "unexpected end of data" in str(error) else []
    return rows


def table_reader(text: Iterator[str], layout: Layout) -> "csv._reader":  # type: ignore[name-defined]
    """The reader of the standard library, set to a layout."""
    csv.field_size_limit(LINE_LIMIT)
    return csv.reader(
        text,
        delimiter=layout.delimiter or ",",
        quotechar=layout.quote or '"',
        quoting=csv.QUOTE_MINIMAL if layout.quoting else csv.QUOTE_NONE,
        skipinitialspace=layout.skip_blanks,
        strict=True,
    )
