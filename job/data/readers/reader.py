"""What a format is, how a file of it is laid out, and the rows that it is read into."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """How a file is laid out, from the settings."""

    format: str
    header: bool = True
    """Tables: whether the first row names the columns."""
    delimiter: str | None = None
    """What separates columns; when None the format's own (a comma, a tab, for conll spaces and tabs), or what the first
    lines of a table show."""
    quoting: bool | None = None
    """Tables: whether quotes enclose values; when None the format's own: those of CSV do, and any that is named."""
    quote: str | None = None
    """Tables: the quote character; when None a double quote, or what the first lines show."""
    skip_blanks: bool = False
    """Tables: whether blanks between a separator and a quote are no part of the value, as the first lines show."""
    wanted: tuple[str, ...] = ()
    """Tables: the columns that are going to be used; the others may be nameless, or have one name twice."""
    kept: tuple[str, ...] = ()
    """Tables: columns that are kept beside them, for the report."""
    roles: tuple[str, ...] = ()
    """The part that each of these columns plays, as data.columns calls it."""
    encoding: str = "utf-8"
    """Text: how characters are written as bytes; UTF-16 and UTF-32 with a mark are told from the mark."""
    use_names: bool = True
    """Parquet: whether whole numbers become the names of classes that the file tells."""
    max_expansion: float = 20.0
    """A compressed file may unpack to so many times its size."""
    positions: Mapping[str, int] | None = None
    """conll, conllu: the name a row gives a column, to the column's position (from the end when negative)."""
    comment: str | None = None
    """conll: how a line begins that is no token; the empty text where every line is one."""
    sample_by: Literal["line", "paragraph", "document"] = "line"
    """text: what becomes a row."""

    def reads(self, column: str) -> bool:
        """Whether the values of a column are needed: of all columns where none are named."""
        return not self.wanted or column in self.wanted or column in self.kept


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, and its values by column. `fault` says why the values cannot be used."""

    line: int
    values: Mapping[str, object]
    fault: str | None = None
    """Worded alike for every row with this fault, so that they can be counted."""
    found: str = ""
    """The value at fault, as an error shows it."""
    hint: str = ""
    """What to do about the fault."""
    is_empty: bool = False
    """Whether the fault is that the row holds nothing or names no file, which data.drop_empty leaves out."""


Read = Callable[[Path, str, Layout], Iterator[Row]]
"""The rows of the file at a path, which an error calls by the address; DataError where it cannot be read on."""


@dataclass(frozen=True)
class Reader:
    """A format: how its files are called and read, what their rows are, and which settings it has."""

    name: str
    """As `data.format` calls it."""
    read: Read
    suffixes: tuple[str, ...] = ()
    """How the names of its files end, in lower case."""
    unit: str = "line"
    """What `Row.line` counts."""
    settings: frozenset[str] = frozenset(("encoding",))
    """Those of the settings of `data` that only some formats have."""
    positions: Mapping[str, int] = field(default_factory=dict)
    """Where columns have no names: the usual place of each role, which `data.columns` may move."""
    is_text: bool = True
    """Whether its files are text, which may be packed with gzip and are looked at where a row is not what is wanted."""
