"""The header of a table: the names of its columns, and where it stands again among the rows."""

import re
from collections import Counter
from collections.abc import Sequence

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.reader import Layout
from tunewright.job.data.readers.tables.dialect import SEPARATORS, filled
from tunewright.job.errors import DataError

MOST_COLUMNS = 4096
"""Columns of a table; a file with more is none."""
_LONGEST_NAME = 1000
"""Characters of a column's name."""
_SEP = re.compile(r'"?sep=.?', re.IGNORECASE)
"""What is left of Excel's line `sep=;` where it is read as a row."""


class Header:
    """The first row of a table, whether it names the columns or not."""

    def __init__(self, values: Sequence[str], address: str, layout: Layout) -> None:
        if len(values) > MOST_COLUMNS:
            raise DataError(
                f"{address}: the first row has {len(values):,} columns; the limit is {MOST_COLUMNS:,}: "
                "is this a table, and is data.delimiter right?"
            )
        self._address, self._layout = address, layout
        self.cells = [value.strip() for value in values]
        self.names: list[str | None] = self._names() if layout.header else [str(place) for place in range(len(values))]
        """The name of each column; None for one without a name, or with a name that another has too."""
        used = set(layout.wanted) if set(layout.wanted) <= set(self.cells) else set()
        self._folded = {name.casefold() for name in used or self.cells if name}
        """The names that a header has at least, whatever their case."""
        self._header = [name.casefold() for name in self.cells]
        self._used = [place for place, name in enumerate(self._header) if name in self._folded]
        self._width = filled(self._header)

    def _names(self) -> list[str | None]:
        names = self.cells
        long = next((place for place, name in enumerate(names, 1) if len(name) > _LONGEST_NAME), None)
        if long:
            raise DataError(
                f"{self._address}: the name of column {long} has {len(names[long - 1]):,} characters; the limit is "
                f"{_LONGEST_NAME:,}: set data.header to false where the first line is data already"
            )
        counts = Counter(names)
        twice = [name for name in names if counts[name] > 1 and self._layout.reads(name)]
        if twice and twice[0]:
            raise DataError(
                f"{self._address}: the header names {shown(twice[0])} more than once ({listed(names)}); rename "
                f"one of them"
            )
        return [name if name and counts[name] == 1 else None for name in names]

    def is_again(self, line: int, values: Sequence[str]) -> bool:
        """Whether a row is the header, as where files were joined; DataError for one of other columns."""
        if _SEP.fullmatch(values[0]) and not any(values[1:]):
            return True
        if not self._layout.header:
            self._refuse_roles(line, values)
            return False
        cells = [value.strip().casefold() for value in values]
        if cells == self._header:
            return True
        if not self._folded <= set(cells):
            return False
        if filled(cells) == self._width and all(cells[place] == self._header[place] for place in self._used):
            return True
        if len(self._folded) == 1 and sorted(cells) != sorted(self._header):
            # One word may well stand in a row.
            return False
        raise DataError(
            f"{self._address}, line {line}: a second header ({listed(cells, 8)}) stands among the rows, and its "
            f"columns are not those of the first ({self.told}); divide the file before this line and name both parts"
        )

    def _refuse_roles(self, line: int, values: Sequence[str]) -> None:
        """DataError for a header that the settings take for a row."""
        places = [int(place) for place in self._layout.wanted if int(place) < len(values)]
        if len(places) > 1 and tuple(values[place].strip().lower() for place in places) == self._layout.roles:
            raise DataError(
                f"{self._address}, line {line} is a header ({listed(values, 8)}) and data.header is false; remove the "
                "line, or data.header where it is the first of the file"
            )

    def why_ragged(self, values: Sequence[str]) -> str:
        """What to do about a row with more or fewer values than there are columns, where that shows."""
        last = values[-1].strip()
        if any("\ufeff" in value for value in values) or (self._layout.header and last == self.cells[-1]):
            return "the beginning of another file follows in the same line; put a line break between the two"
        if len(values) == 1 and any(self._folded <= _folded(last, other) for other in SEPARATORS):
            return "a header with another separator begins here; divide the file before this line and name both parts"
        if not self._layout.quoting and any(value.lstrip().startswith('"') for value in values):
            return "set data.quoting to true if double quotes enclose values"
        if any(value.endswith("\\") for value in values[:-1]):
            return "a backslash does not keep a separator inside a value, double quotes around the value do"
        if len(values) == len(self.names) + 1 and values[0].isdecimal():
            return "where the first value is a number that the header does not name, begin the header with a separator"
        return ""

    @property
    def told(self) -> str:
        """The columns as an error lists them."""
        return listed((name or "''" for name in self.names), 8)


def _folded(line: str, separator: str) -> set[str]:
    return {cell.strip(" \"'").casefold() for cell in line.split(separator)}
