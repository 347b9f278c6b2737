"""Bytes to text: gzip within a bound, UTF-8 with the place of the first fault.

Line numbers are those an editor shows, from 1; offsets count the bytes of the unpacked file.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from job.errors import DataError

LINE_LIMIT = 16 * 2**20
"""Bytes of one line; a longer one is not a table."""
_FREE_EXPANSION = 64 * 2**20
"""Bytes that any compressed file may unpack to, whatever its ratio."""
_PIECE = 2**20
"""Bytes that are decoded at a time where there are no lines."""
_MARK = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def open_data(path: Path, address: str, max_expansion: float) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked when it is gzip; DataError when it is damaged or unpacks to too much."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not zipped:
            yield raw
            return
        limit = expansion_limit(path, max_expansion)
        try:
            with gzip.GzipFile(fileobj=raw) as unzipped:
                yield io.BufferedReader(_Limited(unzipped, limit, address))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{address}: the gzip data is damaged ({error}); copy or compress it again") from error


def expansion_limit(path: Path, max_expansion: float) -> int:
    """Bytes that a compressed file may unpack to."""
    return max(_FREE_EXPANSION, int(max_expansion * path.stat().st_size))


def expansion_fault(address: str, limit: int) -> DataError:
    """The error for a file that unpacks to more."""
    return DataError(
        f"{address} unpacks to more than {limit:,} bytes; if that is right, raise data.max_expansion or unpack it first"
    )


class _Limited(io.RawIOBase):
    """A stream that refuses to give more than `limit` bytes."""

    def __init__(self, file: gzip.GzipFile, limit: int, address: str) -> None:
        self._file, self._left, self._limit, self._address = file, limit, limit, address

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise expansion_fault(self._address, self._limit)
        buffer[: len(data)] = data
        return len(data)


def lines(file: BinaryIO, address: str) -> Iterator[str]:
    """Decoded lines with their ends; a byte order mark is dropped."""
    offset = 0
    number = 0
    while raw := file.readline(LINE_LIMIT + 1):
        number += 1
        if len(raw) > LINE_LIMIT:
            raise DataError(f"{address}, line {number} is longer than {LINE_LIMIT:,} bytes: this is not a table")
        mark = _mark(raw, address) if number == 1 else 0
        text, used = _decode(raw[mark:], address, number, offset + mark)
        if mark + used < len(raw):
            raise _not_utf8(raw, mark + used, address, number, offset)
        yield text
        offset += len(raw)


def pieces(file: BinaryIO, address: str) -> Iterator[str]:
    """Decoded text in pieces of bounded size; a byte order mark is dropped."""
    number, offset, held = 1, 0, b""
    while chunk := file.read(_PIECE):
        raw = held + chunk
        mark = _mark(raw, address) if offset == 0 else 0
        text, used = _decode(raw[mark:], address, number, offset + mark)
        held = raw[mark + used :]
        offset += mark + used
        number += text.count("\n")
        yield text
    if held:
        raise _not_utf8(held, 0, address, number, offset)


def _mark(raw: bytes, address: str) -> int:
    """Bytes of the byte order mark at the start of a file."""
    if raw.startswith(_UTF16):
        raise DataError(f"{address} is UTF-16, not UTF-8; save it as UTF-8")
    return len(_MARK) if raw.startswith(_MARK) else 0


def _decode(raw: bytes, address: str, number: int, offset: int) -> tuple[str, int]:
    """The text, and the bytes it was made of: all but a character that is cut off at the end."""
    try:
        text, used = codecs.utf_8_decode(raw, "strict", False)
    except UnicodeDecodeError as error:
        line = number + raw[: error.start].count(b"\n")
        raise _not_utf8(raw, error.start, address, line, offset) from error
    if "\0" in text:
        line = number + text[: text.index("\0")].count("\n")
        raise DataError(f"{address}, line {line} holds a NUL byte: this is not a text file")
    return text, used


def _not_utf8(raw: bytes, at: int, address: str, number: int, offset: int) -> DataError:
    return DataError(
        f"{address}, line {number}: byte 0x{raw[at]:02x} at offset {offset + at:,} of the file is not UTF-8; "
        "save the file as UTF-8 (it may be Windows-1252 or Latin-1)"
    )
