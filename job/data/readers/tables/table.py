"""CSV and TSV to rows: the header, the values of each row, and what is odd about them.

A fault that hides where rows begin (a quote) ends the reading at once; anything else is left to `job.data.check`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.lines import of_lines
from tunewright.job.data.readers.reader import Layout, Reader, Row
from tunewright.job.data.readers.tables.dialect import filled, opened
from tunewright.job.data.readers.tables.quotes import Records
from tunewright.job.errors import DataError
from tunewright.job.progress import warn

MOST_COLUMNS = 4096
"""Columns of a table; a file with more is none."""
_LONGEST_NAME = 1000
"""Characters of a column's name."""
_RULE = re.compile(r"[-+:=| ]*-[-+:=| ]*")
"""The line below the header in Markdown and in what databases print."""


def read_table(text: Iterator[str], address: str, layout: Layout) -> Iterator[Row]:
    """The rows of a table. DataError where rows cannot be told apart any more, or for a header that is none."""
    above, text, layout = opened(text, address, layout)
    yield from _Table(address, layout).rows(Records(text, address, layout, above))


@dataclass
class _Table:
    """One table while it is read."""

    address: str
    layout: Layout
    header: list[str] = field(default_factory=list)
    """The cells of the first row."""
    names: list[str | None] = field(default_factory=list)
    """The name of each column; None for one without a name, or with a name that another has too."""
    folded: set[str] = field(default_factory=set)
    """The names that a header has at least, whatever their case."""
    repeated: int = 0
    """Rows that repeat the header."""
    quoted: int = 0
    """Values that stand in double quotes where quotes are text."""

    def rows(self, records: Records) -> Iterator[Row]:
        """Every row but the header."""
        for line, values in records:
            if not self.names:
                self._begin(values)
                if self.layout.header:
                    continue
            if self.layout.delimiter == "|" and _RULE.fullmatch("|".join(values)):
                continue
            if self.layout.header and self._is_header(line, values):
                self.repeated += 1
                continue
            yield self._row(line, values)
        self._say_odd()

    def _begin(self, values: list[str]) -> None:
        if len(values) > MOST_COLUMNS:
            raise DataError(
                f"{self.address}: the first row has {len(values):,} columns; the limit is {MOST_COLUMNS:,}: "
                "is this a table, and is data.delimiter right?"
            )
        self.header = [value.strip() for value in values]
        if self.layout.header:
            self.names = self._named()
            used = set(self.layout.wanted) if set(self.layout.wanted) <= set(self.header) else set()
            self.folded = {name.casefold() for name in used or self.header if name}
        else:
            self._refuse_header()
            self.names = [str(position) for position in range(len(values))]

    def _named(self) -> list[str | None]:
        names = self.header
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

    def _refuse_header(self) -> None:
        """DataError for a header that the settings take for a row."""
        cells = [self.header[int(place)].lower() for place in self.layout.wanted if int(place) < len(self.header)]
        if len(cells) > 1 and tuple(cells) == self.layout.roles:
            raise DataError(
                f"{self.address}: the first line is a header ({listed(self.header)}) and data.header is false; "
                "remove data.header, and let data.columns give the names"
            )

    def _is_header(self, line: int, values: Sequence[str]) -> bool:
        """Whether a row is the header again, as where files were joined; DataError for a header of other columns."""
        cells = [value.strip().casefold() for value in values]
        if not self.folded <= set(cells):
            return False
        header = [name.casefold() for name in self.header]
        used = [place for place, name in enumerate(header) if name in self.folded]
        if filled(cells) == filled(header) and all(cells[place] == header[place] for place in used):
            return True
        if len(self.folded) == 1 and sorted(cells) != sorted(header):
            # One word may well stand in a row.
            return False
        raise DataError(
            f"{self.address}, line {line}: a second header ({listed(cells, 8)}) stands among the rows, and its columns "
            f"are not those of the first ({_have(self.names)}); divide the file before this line and name both parts"
        )

    def _row(self, line: int, values: list[str]) -> Row:
        if len(values) != len(self.names):
            width = filled(values)
            # Spreadsheets write separators behind the last column, in some lines and not in others.
            if width > len(self.names) or (width and len(values) < filled(self.header)):
                return self._ragged(line, values)
            values = (values + [""] * len(self.names))[: len(self.names)]
        row = {name: value for name, value in zip(self.names, values, strict=True) if name is not None}
        if not self.layout.quoting:
            self.quoted += any(_is_quoted(row.get(name, "")) for name in self.layout.wanted)
        return Row(line, row)

    def _ragged(self, line: int, values: Sequence[str]) -> Row:
        fault = f"has {len(values)} values where there are {len(self.names)} columns ({_have(self.names)})"
        hint = ""
        if any("\ufeff" in value for value in values) or (self.layout.header and values[-1].strip() == self.header[-1]):
            hint = "the beginning of another file follows in the same line; put a line break between the two"
        elif not self.layout.quoting and any(value.lstrip().startswith('"') for value in values):
            hint = "set data.quoting to true if double quotes enclose values"
        elif any(value.endswith("\\") for value in values[:-1]):
            hint = "a backslash does not keep a separator inside a value, double quotes around the value do"
        return Row(line, {}, fault, hint=hint)

    def _say_odd(self) -> None:
        if self.repeated:
            rows = "row repeats the header and is" if self.repeated == 1 else "rows repeat the header and are"
            warn("data", f"{self.address}: {self.repeated:,} {rows} left out", rows=self.repeated)
        if self.quoted:
            warn(
                "data",
                f"{self.address}: {self.quoted:,} {'row has' if self.quoted == 1 else 'rows have'} a value in double "
                "quotes, which are kept as text; set data.quoting to true if they enclose it",
                rows=self.quoted,
            )


def _have(names: Sequence[str | None]) -> str:
    return listed((name or "''" for name in names), 8)


def _is_quoted(value: str) -> bool:
    inner = value[1:-1]
    return len(value) > 1 and value[0] == value[-1] == '"' and inner.replace('""', "").count('"') == 0


SETTINGS = frozenset(("header", "delimiter", "quoting", "quote", "encoding"))
"""What is said of a table."""
CSV = Reader("csv", of_lines(read_table), (".csv",), settings=SETTINGS)
TSV = Reader("tsv", of_lines(read_table), (".tsv",), settings=SETTINGS)
