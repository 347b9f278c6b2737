"""CSV and TSV to rows: the dialect found where the settings do not tell it, the header, quotes.

A fault that hides where rows begin (a quote) ends the reading at once; anything else is left to `job.data.check`.
"""

import csv
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.lines import LINE_LIMIT
from tunewright.job.data.readers.row import Layout, Row
from tunewright.job.errors import DataError
from tunewright.job.progress import say, warn

MOST_COLUMNS = 4096
"""Columns of a table; a file with more is none."""
_LONGEST_NAME = 1000
"""Characters of a column's name."""
_COMMON = (",", ";", "\t", "|")
SEPARATORS = (*_COMMON, "^", "~", "@", ":", "\x01", " ")
"""Characters that separate columns in the files of others, the likelier ones first."""
_LOOKED_AT = 20
"""Lines that a guess at the dialect looks at."""
_LOOKED_AT_SIZE = 2**16
"""Characters of these lines."""
_NAMES = {"\t": "a tab", " ": "a blank"}
_SEP_LINE = re.compile(r"\ufeff?sep=(.)\r?\n?", re.IGNORECASE)
"""Excel's own way of telling the separator, as the first line."""
_RULE = re.compile(r"[-+:=| ]*-[-+:=| ]*")
"""The line below the header in Markdown and in what databases print."""


def read_table(text: Iterator[str], address: str, layout: Layout) -> Iterator[Row]:
    """The rows of a table. DataError where rows cannot be told apart any more, or for a header that is none."""
    skipped, text, layout = _opened(text, layout)
    first = list(itertools.islice(text, _LOOKED_AT))
    above, layout = _told(first, address, layout)
    yield from _Table(address, layout, skipped + above).rows(itertools.chain(first[above:], text))


def _opened(text: Iterator[str], layout: Layout) -> tuple[int, Iterator[str], Layout]:
    """The text without a line `sep=;`, and what it says."""
    line = next(text, None)
    if line is None:
        return 0, iter(()), layout
    said = _SEP_LINE.fullmatch(line)
    if said is None:
        return 0, itertools.chain([line], text), layout
    return 1, text, layout if layout.delimiter else replace(layout, delimiter=said[1])


def _told(first: Sequence[str], address: str, layout: Layout) -> tuple[int, Layout]:
    """The lines above the header, and the layout with the separator and the quote character that the first lines show.

    What the settings tell is not guessed at. DataError where another separator gives columns, but not those wanted.
    """
    usual = _with_defaults(layout)
    if not first or not layout.wanted:
        return 0, usual
    first = _few(first)
    for above in [place for place, line in enumerate(first) if line.strip()] if layout.header else [0]:
        guess = dialect(first[above:], layout)
        if guess and _is_above(first[:above], first[above], guess):
            if any(line.strip() for line in first[:above]):
                warn("data", f"{address}: the header is found in line {above + 1}; what stands above it is left out")
            if guess != usual:
                say("data", f"{address}: {_dialect(usual, guess)}")
            return above, guess
    found = None if layout.delimiter else separator(first, usual)
    if found not in (None, usual.delimiter):
        raise DataError(f"{address}: {advice(first, found, layout)}")
    return 0, usual


def dialect(first: Sequence[str], layout: Layout) -> Layout | None:
    """The layout that gives the wanted columns, of which the usual one comes first; None where none does."""
    usual = _with_defaults(layout)
    for quote in [layout.quote] if layout.quote else ['"', "'"]:
        for delimiter in [layout.delimiter] if layout.delimiter else dict.fromkeys([usual.delimiter, *SEPARATORS]):
            # A TSV without tabs is a CSV in all but its name.
            quoting = usual.quoting or (layout.quote is None and (quote == "'" or delimiter != usual.delimiter))
            guess = replace(usual, delimiter=delimiter, quote=quote, quoting=quoting)
            if _fits(first, guess) and (guess == usual or quote == '"' or first[0].lstrip().startswith(quote)):
                return guess
    return None


def _few(lines: Sequence[str]) -> Sequence[str]:
    """The first line, and as many more as are read over and over in no time."""
    sizes = itertools.accumulate(map(len, lines))
    return lines[: max(1, sum(size <= _LOOKED_AT_SIZE for size in sizes))]


def _is_above(above: Sequence[str], header: str, layout: Layout) -> bool:
    """Whether lines are a title or comments: no row of the table that begins below them."""
    names = _parsed([header], layout)
    rows = [_parsed([line], replace(layout, quoting=False)) for line in above if not line.startswith("#")]
    return not above or (bool(names) and all(len(row[0]) != len(names[0]) for row in rows if row))


def separator(first: Sequence[str], layout: Layout) -> str | None:
    """What divides each of these lines into the same number of columns, enough of them; None where nothing does."""
    for delimiter in dict.fromkeys([layout.delimiter or ",", *SEPARATORS]):
        guess = replace(layout, delimiter=delimiter)
        rows = _parsed(first, replace(guess, quoting=True)) or _parsed(first, replace(guess, quoting=False))
        widths = {len(row) for row in rows}
        if len(rows) > 1 and len(widths) == 1 and widths.pop() >= max(2, len(layout.wanted)):
            return delimiter
    return None


def advice(first: Sequence[str], delimiter: str | None, layout: Layout) -> str:
    """What to add to the settings of a table whose columns are divided so and do not have the names that are wanted."""
    told = f"{_NAMES.get(str(delimiter), repr(delimiter))} separates the columns; add `delimiter: "
    told += f"{json.dumps(delimiter)}` under data:"
    if not layout.header:
        return told
    names = _parsed(first[:1], replace(layout, delimiter=delimiter, quoting=True)) or [[]]
    places = ", ".join(f"{role}: {place}" for place, role in enumerate(layout.roles or layout.wanted))
    return (
        f"{told} and say in data.columns which of {listed(map(shown, names[0]), 5)} is which, or add "
        f"`header: false` and `columns: {{{places}}}` (positions from 0) where the first line is data already"
    )


def _with_defaults(layout: Layout) -> Layout:
    return replace(
        layout, delimiter=layout.delimiter or ("\t" if layout.format == "tsv" else ","), quote=layout.quote or '"'
    )


def _dialect(usual: Layout, guess: Layout) -> str:
    """What was found, in the words of the settings that would say it."""
    parts = []
    if guess.delimiter != usual.delimiter:
        parts.append(
            f"{_NAMES.get(str(guess.delimiter), repr(guess.delimiter))} separates the columns (data.delimiter)"
        )
    if guess.quote != usual.quote:
        parts.append("single quotes enclose the values (data.quote)")
    return " and ".join(parts)


def _fits(first: Sequence[str], layout: Layout) -> bool:
    """Whether the first lines, read so, have the columns that are wanted."""
    rows = _parsed(first, layout)
    if not layout.header:
        return bool(rows) and all(len(row) > max(map(int, layout.wanted)) for row in rows)
    # A wrong quote further down is told with its line; the header is enough to know the separator.
    rows = rows or _parsed(first[:1], replace(layout, quoting=False))
    if not rows or not set(layout.wanted) <= {name.strip() for name in rows[0]}:
        return False
    return layout.delimiter in _COMMON or all(len(row) == len(rows[0]) for row in rows)


def _parsed(lines: Sequence[str], layout: Layout) -> list[list[str]]:
    """The rows of these lines but for one that goes on below them; none where quotes are no quotes."""
    rows: list[list[str]] = []
    try:
        for row in _reader(iter(lines), layout):
            if row:
                rows.append(row)
    except csv.Error as error:
        return rows if "unexpected end of data" in str(error) else []
    return rows


def _reader(text: Iterator[str], layout: Layout) -> "csv._reader":  # type: ignore[name-defined]
    csv.field_size_limit(LINE_LIMIT)
    return csv.reader(
        text,
        delimiter=layout.delimiter or ",",
        quotechar=layout.quote or '"',
        quoting=csv.QUOTE_MINIMAL if layout.quoting else csv.QUOTE_NONE,
        strict=True,
    )


@dataclass
class _Table:
    """One table while it is read."""

    address: str
    layout: Layout
    skipped: int
    """Lines before the first that is read."""
    repeated: int = 0
    """Rows that repeat the header."""
    quoted: int = 0
    """Values that stand in double quotes where quotes are text."""

    def rows(self, text: Iterator[str]) -> Iterator[Row]:
        """Every row but the header."""
        names: list[str | None] | None = None
        for line, values in self._records(text):
            if names is None:
                names = self._names(values)
                if self.layout.header:
                    continue
            if self.layout.delimiter == "|" and _RULE.fullmatch("|".join(values)):
                continue
            if self.layout.header and _same(values, names):
                self.repeated += 1
                continue
            yield self._row(line, names, values)
        self._say_odd()

    def _records(self, text: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """The values of each row that has any, with its first line."""
        rows = _reader(text, self.layout)
        start = 1
        while True:
            try:
                values = next(rows, None)
            except csv.Error as error:
                raise DataError(self._quote_fault(start, rows.line_num, error)) from error
            if values is None:
                return
            if values:
                yield start + self.skipped, values
            start = rows.line_num + 1

    def _names(self, values: list[str]) -> list[str | None]:
        """The name of each column; None for one without a name, or with a name that another has too."""
        if len(values) > MOST_COLUMNS:
            raise DataError(
                f"{self.address}: the first row has {len(values):,} columns; the limit is {MOST_COLUMNS:,}: "
                "is this a table, and is data.delimiter right?"
            )
        if not self.layout.header:
            return [str(position) for position in range(len(values))]
        names = [value.strip() for value in values]
        long = next((place for place, name in enumerate(names, 1) if len(name) > _LONGEST_NAME), None)
        if long:
            raise DataError(
                f"{self.address}: the name of column {long} has {len(names[long - 1]):,} characters; the limit is "
                f"{_LONGEST_NAME:,}: set data.header to false where the first line is data already"
            )
        counts = Counter(names)
        twice = [name for name in names if counts[name] > 1 and (name in self.layout.wanted or not self.layout.wanted)]
        if twice and twice[0]:
            raise DataError(
                f"{self.address}: the header names {shown(twice[0])} more than once ({listed(names)}); rename "
                f"one of them"
            )
        return [name if name and counts[name] == 1 else None for name in names]

    def _row(self, line: int, names: Sequence[str | None], values: list[str]) -> Row:
        if len(values) != len(names):
            # A line of separators alone, as spreadsheets leave them below the data.
            if any(value.strip() for value in values):
                return Row(line, {}, f"has {len(values)} values where there are {len(names)} columns ({_have(names)})")
            values = [""] * len(names)
        row = {name: value for name, value in zip(names, values, strict=True) if name is not None}
        if not self.layout.quoting:
            self.quoted += any(_is_quoted(row.get(name, "")) for name in self.layout.wanted)
        return Row(line, row)

    def _say_odd(self) -> None:
        if self.repeated:
            rows = "row repeats the header and is" if self.repeated == 1 else "rows repeat the header and are"
            warn("data", f"{self.address}: {self.repeated:,} {rows} left out", rows=self.repeated)
        if self.quoted:
            warn(
                "data",
                f"{self.address}: {self.quoted:,} {'row has' if self.quoted == 1 else 'rows have'} a value in double "
                "quotes, which are kept as text; set "
                "data.quoting to true if they enclose it",
                rows=self.quoted,
            )

    def _quote_fault(self, start: int, end: int, error: csv.Error) -> str:
        quote = "double quote" if self.layout.quote == '"' else f"quote {self.layout.quote}"
        hint = "double it inside a quoted value, or set data.quoting to false where quotes are plain text"
        if "unexpected end of data" in str(error):
            what = f"a {quote} is opened and never closed"
        elif "expected after" in str(error):
            what = f"text stands after a closing {quote}"
            hint += f"; {_NAMES.get(str(self.layout.delimiter), repr(self.layout.delimiter))} is what separates the "
            hint += "columns: data.delimiter says so where it is another"
        elif "field larger" in str(error):
            what = f"a value is longer than {LINE_LIMIT:,} characters"
        else:
            what = "a carriage return stands inside a value" if "new-line character" in str(error) else str(error)
            hint = "end lines with LF or CRLF, and put values with line breaks in double quotes"
        start, end = start + self.skipped, end + self.skipped
        where = f"line {start}" if end <= start else f"the row that starts in line {start}"
        return f"{self.address}, {where}: {what}; {hint}"


def _have(names: Sequence[str | None]) -> str:
    return listed((name or "''" for name in names), 8)


def _same(values: Sequence[str], names: Sequence[str | None]) -> bool:
    """Whether a row is the header again, as in files that were joined."""
    told = [(value.strip(), name) for value, name in zip(values, names, strict=False) if name is not None]
    return len(values) == len(names) and bool(told) and all(value == name for value, name in told)


def _is_quoted(value: str) -> bool:
    inner = value[1:-1]
    return len(value) > 1 and value[0] == value[-1] == '"' and inner.replace('""', "").count('"') == 0
