"""CSV and TSV to rows, and what is odd about them.

A fault that hides where rows begin (a quote) ends the reading at once; anything else is left to `job.data.check`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tunewright.job.data.readers.lines import of_lines
from tunewright.job.data.readers.reader import Layout, Reader, Row
from tunewright.job.data.readers.tables.dialect import filled, opened
from tunewright.job.data.readers.tables.header import Header
from tunewright.job.data.readers.tables.quotes import Records
from tunewright.job.progress.events import warn

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
    repeated: int = 0
    """Rows that repeat the header."""
    quoted: int = 0
    """Rows with a value in double quotes where quotes are text."""

    def rows(self, records: Records) -> Iterator[Row]:
        """Every row but the header."""
        header: Header | None = None
        for line, values in records:
            if header is None:
                header = Header(values, self.address, self.layout)
                if self.layout.header:
                    continue
            if self.layout.delimiter == "|" and _RULE.fullmatch("|".join(values)):
                continue
            if header.is_again(line, values):
                self.repeated += 1
                continue
            yield self._row(line, header, values)
        self._say_odd()

    def _row(self, line: int, header: Header, values: list[str]) -> Row:
        names = header.names
        if len(values) != len(names):
            width = filled(values)
            # Spreadsheets write separators behind the last column, in some lines and not in others.
            if width > len(names) or (width and len(values) < filled(header.cells)):
                what = f"has {len(values)} values where there are {len(names)} columns ({header.told})"
                return Row(line, {}, what, hint=header.why_ragged(values))
            values = (values + [""] * len(names))[: len(names)]
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
                "quotes, which are kept as text; set data.quoting to true if they enclose it",
                rows=self.quoted,
            )


def _is_quoted(value: str) -> bool:
    inner = value[1:-1].replace('""', "").replace('\\"', "")
    return len(value) > 1 and value[0] == value[-1] == '"' and '"' not in inner


SETTINGS = frozenset(("header", "delimiter", "quoting", "quote", "encoding"))
"""What is said of a table."""
CSV = Reader("csv", of_lines(read_table), (".csv",), settings=SETTINGS)
TSV = Reader("tsv", of_lines(read_table), (".tsv",), settings=SETTINGS)
