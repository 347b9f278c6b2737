"""Files as they are decoded: by several threads, and kept from epoch to epoch as far as there is room."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tunewright.serving.runtime.capacity import available_cpus

ROOM = 1 << 30
"""Bytes of decoded files that a side keeps."""


class Decoded:
    """What the rows of a side are decoded to. `decode`: a row to that.

    Those that come first are kept: each epoch has all rows once, so that nothing would be won by giving one up for
    another.
    """

    def __init__(self, rows: int, decode: Callable[[int], object], room: int = ROOM) -> None:
        self._rows, self._decode, self._room = rows, decode, room
        self._kept: dict[int, object] = {}
        self._bytes = 0
        self._pool: ThreadPoolExecutor | None = None

    @property
    def to_come(self) -> int:
        """Bytes that will still be kept, if the other rows are as large as those that are."""
        if not self._kept:
            return 0
        mean = self._bytes / len(self._kept)
        return int(min(self._room - self._bytes, mean * (self._rows - len(self._kept))))

    def of(self, rows: Sequence[int]) -> list[object]:
        """Of these rows, in their order."""
        missing = [row for row in dict.fromkeys(rows) if row not in self._kept]
        made = dict(zip(missing, self._all(missing), strict=True))
        for row, found in made.items():
            size = _bytes(found)
            if self._bytes + size <= self._room:
                self._kept[row] = found
                self._bytes += size
        return [made[row] if row in made else self._kept[row] for row in rows]

    def _all(self, rows: Sequence[int]) -> list[object]:
        if len(rows) < 2:
            return [self._decode(row) for row in rows]
        self._pool = self._pool or ThreadPoolExecutor(available_cpus(), "decode")
        return list(self._pool.map(self._decode, rows))


def _bytes(value: object) -> int:
    """About what a decoded file takes in memory."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(_bytes, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return 64 + sum(map(_bytes, value))
    return 64
