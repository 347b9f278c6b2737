"""JSON as it stands in data files: an array of any length, one element at a time, in the memory of one element."""

import json
import re
from collections.abc import Iterator

from tunewright.job.data.readers.lines import LINE_LIMIT
from tunewright.job.errors import DataError

_AFTER = (",", "]", " ", "\t", "\r", "\n")
"""What may follow a whole number."""
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
"""What stands between values; also a byte order mark, where files were joined."""


class EndlessNumber(float):
    """A whole number of more digits than Python reads: infinite, so that no column takes it."""

    def __new__(cls, digits: str) -> "EndlessNumber":
        """From the digits, with a sign or without."""
        made = super().__new__(cls, "-inf" if digits.startswith("-") else "inf")
        made.length = len(digits.removeprefix("-"))
        return made

    length: int

    def __repr__(self) -> str:
        return f"(a whole number of {self.length:,} digits)"


# Errors name the type of a value.
EndlessNumber.__name__ = "int"


def _whole(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:
        return EndlessNumber(digits)


DECODER = json.JSONDecoder(parse_int=_whole)
"""Reads one value, of which a whole number may have any length."""


def read_array(pieces: Iterator[str], address: str) -> Iterator[object]:
    """The elements of the one array in the text; DataError names the row where it stops being one."""
    text = PieceText(pieces)
    first = text.take()
    if first not in ("[", ""):
        raise DataError(f"{address} begins with {first!r}; expected a JSON array of objects")
    more = bool(first) and text.peek() != "]"
    if first and not more:
        text.take()
    number = 0
    while more:
        number += 1
        yield _element(text, f"{address}, row {number}")
        after = text.take()
        if after not in (",", "]"):
            raise DataError(f"{address}: {_found(after)} after row {number}, where ',' or ']' belongs")
        more = after == ","
    if text.peek():
        raise DataError(
            f"{address}: {_found(text.peek())} after the end of the array; expected one array "
            "(`jq -s add OLD > NEW.json` makes one of several)"
        )


def _element(text: "PieceText", place: str) -> object:
    try:
        return text.value()
    except RecursionError:
        raise DataError(f"{place} is nested too deeply") from None
    except ValueError as error:
        raise DataError(f"{place} is not JSON: {getattr(error, 'msg', error)}") from error


def _found(character: str) -> str:
    return f"{character!r} stands" if character else "the file ends"


class PieceText:
    """The text that has not been read yet, of which only a part is in memory."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces, self._part, self._at = pieces, "", 0

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            self._at = _SPACE.match(self._part, self._at).end()  # type: ignore[union-attr]  # it always matches
            if self._at < len(self._part) or not self._read_on():
                return self._part[self._at : self._at + 1]

    def take(self) -> str:
        """The same, and goes on behind it."""
        character = self.peek()
        self._at += len(character)
        return character

    def value(self) -> object:
        """The next value. ValueError where there is none."""
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._part, self._at)
            except ValueError:
                if not self._read_on():
                    raise
                continue
            # A number may go on in the next piece: 0, 0.5, 0.5e3.
            whole = not isinstance(value, int | float) or self._part[end : end + 1] in _AFTER
            if (whole and end < len(self._part)) or not self._read_on():
                self._at = end
                return value

    def _read_on(self) -> bool:
        """Whether there was more to read; nothing more is read for a value that is too long for a row."""
        piece = next(self._pieces, "") if len(self._part) - self._at <= LINE_LIMIT else ""
        if piece:
            self._part, self._at = self._part[self._at :] + piece, 0
        return bool(piece)
