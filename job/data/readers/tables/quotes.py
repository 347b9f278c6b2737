"""The records of a table: quotes undone, with the line each begins in, and what is wrong where quotes are no quotes."""

import csv
import itertools
import re
from collections.abc import Iterator

from tunewright.job.data.readers.lines import LINE_LIMIT
from tunewright.job.data.readers.reader import Layout
from tunewright.job.data.readers.tables.dialect import name_of, table_reader
from tunewright.job.errors import DataError
from tunewright.job.progress.events import say

_KEPT = 10_000
"""Lines of a record that can be read again."""


class Records:
    """The values of each record that has any, with its first line.

    Quotes inside values are doubled, or have a backslash before them where the first that would be a fault has one.
    """

    def __init__(self, text: Iterator[str], address: str, layout: Layout, above: int) -> None:
        self._text, self._address, self._layout = text, address, layout
        self._line = above
        """Lines that were taken."""
        self._record: list[str] = []
        """Those of the record that is being read, or the first of them."""
        quote = re.escape(layout.quote or '"')
        self._escaped = re.compile(rf"(?<!\\)((?:\\\\)*)\\{quote}")
        self._is_escaped = False

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        rows = table_reader(self._lines(), self._layout)
        while True:
            self._record.clear()
            start = self._line + 1
            try:
                values = next(rows, None)
            except csv.Error as error:
                if not self._can_escape(start):
                    raise DataError(self._fault(start, error)) from error
                rows = self._again()
                continue
            if values is None:
                return
            if values:
                yield start, values

    def _lines(self) -> Iterator[str]:
        doubled = rf"\1{self._layout.quote * 2}" if self._layout.quote else ""
        for line in self._text:
            self._line += 1
            if len(self._record) <= _KEPT:
                self._record.append(line)
            yield self._escaped.sub(doubled, line) if self._is_escaped else line

    def _can_escape(self, start: int) -> bool:
        """Whether the record at fault is one with backslashes before its quotes, and can be read again."""
        is_short = len(self._record) <= _KEPT and self._layout.quote != "\\"
        if self._is_escaped or not is_short or not any(map(self._escaped.search, self._record)):
            return False
        say(
            "data",
            f"{self._address}, line {start}: quotes inside values have a backslash before them, and are read so from "
            "here on",
        )
        return True

    def _again(self) -> "csv._reader":  # type: ignore[name-defined]
        self._is_escaped = True
        self._line -= len(self._record)
        self._text = itertools.chain(self._record[:], self._text)
        return table_reader(self._lines(), self._layout)

    def _fault(self, start: int, error: csv.Error) -> str:
        layout = self._layout
        quote = "double quote" if layout.quote == '"' else f"quote {layout.quote}"
        hint = "double it inside a quoted value, or set data.quoting to false where quotes are plain text"
        if "unexpected end of data" in str(error):
            what = f"a {quote} is opened and never closed"
        elif "expected after" in str(error):
            what = f"text stands after a closing {quote}"
            hint += f"; {name_of(layout.delimiter)} is what separates the columns: data.delimiter says so where it is "
            hint += "another"
            if re.search(
                rf"{re.escape(str(layout.quote))} +({re.escape(str(layout.delimiter))}|\s*$)", self._record[-1]
            ):
                what, hint = f"a blank stands after a closing {quote}", "end the value with its quote"
        elif "field larger" in str(error):
            what = f"a value is longer than {LINE_LIMIT:,} characters"
        else:
            what = "a carriage return stands inside a value" if "new-line character" in str(error) else str(error)
            hint = "end lines with LF or CRLF, and put values with line breaks in double quotes"
        where = f"line {start}" if self._line <= start else f"the row that starts in line {start}"
        return f"{self._address}, {where}: {what}; {hint}"
