"""Bytes to text: gzip within a bound, UTF-8 (or what the settings say) with the place of the first fault.

Line numbers are those an editor shows, from 1; offsets count the bytes of the unpacked file.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tunewright.job.data.readers.reader import Layout, Read, Row
from tunewright.job.errors import DataError
from tunewright.job.progress.events import say

LINE_LIMIT = 16 * 2**20
"""Bytes of one line; a longer one is not a table."""
_FREE_EXPANSION = 2 * 2**20
"""Bytes that any compressed file may unpack to, whatever its ratio: half a million of the shortest rows, seconds."""
_PIECE = 2**20
"""Bytes that are decoded at a time where there are no lines."""
_HOW = "data.encoding says how the file is written"
_MARK = b"\xef\xbb\xbf"
_MARKED = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Byte order marks of other encodings than UTF-8, and how Python calls what reads them."""
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def of_lines(
    read: Callable[[Iterator[str], str, Layout], Iterator[Row]],
) -> Read:
    """What reads a file, made of what reads its lines."""

    def read_file(path: Path, address: str, layout: Layout) -> Iterator[Row]:
        with open_data(path, address, layout.max_expansion) as file:
            yield from read(lines(file, address, layout.encoding), address, layout)

    return read_file


def of_pieces(read: Callable[[Iterator[str], str], Iterator[Row]]) -> Read:
    """What reads a file, made of what reads its text in pieces."""

    def read_file(path: Path, address: str, layout: Layout) -> Iterator[Row]:
        with open_data(path, address, layout.max_expansion) as file:
            yield from read(pieces(file, address, layout.encoding), address)

    return read_file


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


def expansion_limit(path: Path, max_expansion: float, free: int = _FREE_EXPANSION) -> int:
    """Bytes that a compressed file may unpack to; `free`, whatever its size."""
    return max(free, int(max_expansion * path.stat().st_size))


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


def lines(file: BinaryIO, address: str, encoding: str = "utf-8") -> Iterator[str]:
    """Decoded lines with their ends; byte order marks are dropped, of files that were joined too."""
    if encoding != "utf-8" or _marked(file):
        yield from _other_lines(file, address, encoding)
        return
    offset = 0
    number = 0
    while raw := file.readline(LINE_LIMIT + 1):
        number += 1
        if len(raw) > LINE_LIMIT:
            raise DataError(f"{address}, line {number} is longer than {LINE_LIMIT:,} bytes: this is not a table")
        mark = _mark(raw)
        text, used = _decode(raw[mark:], address, number, offset + mark)
        if mark + used < len(raw):
            raise _not_utf8(raw, mark + used, address, number, offset)
        yield text
        offset += len(raw)


def _marked(file: BinaryIO) -> str:
    """The encoding that the file, which is at its beginning, says it has by a mark; empty for UTF-8 and no mark."""
    start = file.peek(4)[:4] if isinstance(file, io.BufferedReader) else b""
    return next((name for mark, name in _MARKED if start.startswith(mark)), "")


def _other_lines(file: BinaryIO, address: str, encoding: str) -> Iterator[str]:
    """Lines in another encoding than UTF-8; its faults are told with the line."""
    if encoding == "utf-8":
        encoding = _marked(file)
        say("data", f"{address}: read as {encoding.upper()}, as its first bytes say (data.encoding)")
    text = io.TextIOWrapper(file, encoding, newline="")
    number = 0
    try:
        while line := text.readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT:
                raise DataError(
                    f"{address}, line {number} is longer than {LINE_LIMIT:,} characters: this is not a table"
                )
            if "\0" in line:
                raise DataError(f"{address}, line {number} holds a NUL character: this is not {encoding}; {_HOW}")
            yield line.removeprefix("\ufeff")
    except UnicodeError as error:
        raise DataError(
            f"{address}, after line {number}: this is not {encoding} ({getattr(error, 'reason', error)}); {_HOW}"
        ) from error
    finally:
        # Whoever opened the file closes it, and may have done so when a fault ends the reading.
        if not file.closed:
            text.detach()


def pieces(file: BinaryIO, address: str, encoding: str = "utf-8") -> Iterator[str]:
    """Decoded text in pieces of bounded size; a byte order mark is dropped."""
    if encoding != "utf-8" or _marked(file):
        yield from _other_lines(file, address, encoding)
        return
    number, offset, held = 1, 0, b""
    while chunk := file.read(_PIECE):
        raw = held + chunk
        mark = _mark(raw) if offset == 0 else 0
        text, used = _decode(raw[mark:], address, number, offset + mark)
        held = raw[mark + used :]
        offset += mark + used
        number += text.count("\n")
        yield text
    if held:
        raise _not_utf8(held, 0, address, number, offset)


def _mark(raw: bytes) -> int:
    """Bytes of the byte order mark at the start of a file or a line."""
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
        raise DataError(f"{address}, line {line} holds a NUL byte: {_without_mark(raw)}")
    return text, used


def _without_mark(raw: bytes) -> str:
    """What text full of zeros may be: of Latin letters every other byte is one in UTF-16, three of four in UTF-32."""
    start = raw[:200]
    inner = {"utf-16-le": start[1::2], "utf-16-be": start[::2]}
    if start.count(0) > 0.7 * len(start):
        inner = {"utf-32-be": start[1::4]} if start[:1] == b"\0" else {"utf-32-le": start[2::4]}
    for name, zeros in inner.items():
        if len(zeros) > 1 and zeros.count(0) > 0.7 * len(zeros):
            return f"it looks like {name[:6].upper()}; add `encoding: {name}` under data:"
    return "this is not a text file"


def _not_utf8(raw: bytes, at: int, address: str, number: int, offset: int) -> DataError:
    start = raw.rfind(b"\n", 0, at) + 1
    line = raw[start : raw.find(b"\n", at) if b"\n" in raw[at:] else len(raw)][:200]
    return DataError(
        f"{address}, line {number}: byte 0x{raw[at]:02x} at offset {offset + at:,} of the file is not UTF-8; "
        f"{_guess(line, at - start)}"
    )


def _guess(line: bytes, at: int) -> str:
    """How the line reads in the encodings that Western files have most often, and the setting that takes it so."""
    if b"\0" in line:
        # Of Latin letters in UTF-16 every other byte is zero.
        return (
            "UTF-16 begins here, as where files of two encodings were joined" if line[at : at + 2] in _UTF16 else _HOW
        )
    for name in ("windows-1252", "latin-1"):
        try:
            text = line.decode(name)
        except UnicodeDecodeError:
            continue
        around = text[max(0, at - 20) : at + 20].strip()
        return f"as {name} it reads {around!r}: if that is right, add `encoding: {name}` under data:"
    return _HOW
