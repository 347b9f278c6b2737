"""The messages that an Arrow file consists of, and what they say they unpack to, read before anything is unpacked.

The layout is that of https://arrow.apache.org/docs/format/Columnar.html; what is read of a message are a few numbers of
its FlatBuffers table (https://flatbuffers.dev/internals), which Arrow has verified when it opened the message.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from tunewright.job.data.readers.content import ARROW_FILE

_PADDED = 8
"""A file with a footer is its mark, filled up to so many bytes, then a stream."""
_HEADER, _LENGTH_OF_BATCH, _NODES, _BUFFERS, _COMPRESSION = 2, 0, 1, 2, 3
"""Places of fields in the tables Message and RecordBatch (format/Message.fbs)."""
_DATA_OF_DICTIONARY = 1
_NOT_COMPRESSED = -1


def open_arrow(path: Path) -> pa.NativeFile:
    """A file of either form, at the beginning of its stream. To be closed by the caller."""
    source = pa.memory_map(str(path))
    source.seek(_PADDED if source.read(len(ARROW_FILE)) == ARROW_FILE else 0)
    return source


@dataclass(frozen=True)
class Declared:
    """What a message says of itself."""

    values: int
    """Of all columns, those inside lists too."""
    size: int
    """Bytes of its columns once they are unpacked."""


def declared(source: pa.NativeFile) -> Iterator[Declared]:
    """What each batch and each dictionary from here on unpacks to. ArrowException or ValueError where one is broken."""
    messages = pa.ipc.MessageReader.open_stream(source)
    while True:
        try:
            message = messages.read_next_message()
        except StopIteration:
            return
        if message.type in ("record batch", "dictionary"):
            yield _declared(message.metadata.to_pybytes(), message.body, message.type == "dictionary")


def _declared(table: bytes, body: pa.Buffer, is_dictionary: bool) -> Declared:
    try:
        batch = _inner(table, _at(table, "<I", 0), _HEADER)
        if is_dictionary:
            batch = _inner(table, batch, _DATA_OF_DICTIONARY)
        nodes = _vector(table, batch, _NODES)
        length = _field(table, batch, _LENGTH_OF_BATCH)
        values = sum(nodes[::2]) if nodes else _at(table, "<q", length) if length else 0
        if _field(table, batch, _COMPRESSION) is None:
            return Declared(values, body.size)
        return Declared(values, sum(_unpacked(body, *pair) for pair in _pairs(_vector(table, batch, _BUFFERS))))
    except struct.error as error:
        raise ValueError("a message of it is broken") from error


def _unpacked(body: pa.Buffer, offset: int, length: int) -> int:
    """A compressed buffer begins with its length."""
    if not length:
        return 0
    size = _at(body, "<q", offset)
    return length if size == _NOT_COMPRESSED else size


def _pairs(numbers: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    return zip(numbers[::2], numbers[1::2], strict=True)


def _at(data: bytes | pa.Buffer, form: str, place: int) -> int:
    if place < 0:
        raise struct.error("before the beginning")
    return int(struct.unpack_from(form, data, place)[0])


def _field(table: bytes, place: int, number: int) -> int | None:
    """Where a field of a table stands; None where it has its default."""
    described = place - _at(table, "<i", place)
    within = 4 + 2 * number
    offset = _at(table, "<H", described + within) if within < _at(table, "<H", described) else 0
    return place + offset if offset else None


def _inner(table: bytes, place: int, number: int) -> int:
    found = _field(table, place, number)
    if found is None:
        raise struct.error("no such field")
    return found + _at(table, "<I", found)


def _vector(table: bytes, place: int, number: int) -> tuple[int, ...]:
    """A vector of pairs of numbers of eight bytes, one after the other."""
    if _field(table, place, number) is None:
        return ()
    start = _inner(table, place, number)
    return struct.unpack_from(f"<{2 * _at(table, '<I', start)}q", table, start + 4)
