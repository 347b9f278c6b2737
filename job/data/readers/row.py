"""What a data file is read into: rows, and how the file is laid out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Layout:
    """How a file is laid out, from the settings."""

    format: str
    header: bool = True
    """Tables: whether the first row names the columns."""
    delimiter: str | None = None
    """What separates columns; when None the format's own (a comma, a tab, for conll spaces and tabs), or what the first
    lines of a table show."""
    quoting: bool = True
    """Tables: whether quotes enclose values."""
    quote: str | None = None
    """Tables: the quote character; when None a double quote, or what the first lines show."""
    skip_blanks: bool = False
    """Tables: whether blanks between a separator and a quote are no part of the value, as the first lines show."""
    wanted: tuple[str, ...] = ()
    """Tables: the columns that are going to be used; the others may be nameless, or have one name twice."""
    roles: tuple[str, ...] = ()
    """The part that each of these columns plays, as data.columns calls it."""
    encoding: str = "utf-8"
    """Text: how characters are written as bytes; UTF-16 with a mark is told from the mark."""
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


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, and its values by column. `fault` says why the values cannot be used."""

    line: int
    values: dict[str, Any]
    fault: str | None = None
    """Worded alike for every row with this fault, so that they can be counted."""
    found: str = ""
    """The value at fault, as an error shows it."""
    hint: str = ""
    """What to do about the fault."""
    is_empty: bool = False
    """Whether the fault is that the row names no file, which data.drop_empty leaves out."""
