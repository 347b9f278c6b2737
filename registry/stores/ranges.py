"""Whole objects, read in ranges: their size does not matter."""

import hashlib
from typing import Protocol

from tunewright.registry.progress import moved
from tunewright.registry.stores.key import Stat

RANGE = 8 * 1024 * 1024  # bytes of one ranged read


class Ranged(Protocol):
    """A store, as far as it reads ranges."""

    def read_range(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        """See Store."""


def sha256_of_object(store: Ranged, stat: Stat) -> str:
    """The sha256 of an object, as hexadecimal digits. Raises what `read_range` raises."""
    whole = hashlib.sha256()
    for start in range(0, stat.size, RANGE):
        data = store.read_range(stat.key, start, min(start + RANGE, stat.size), etag=stat.etag)
        whole.update(data)
        moved("read", len(data))
    return whole.hexdigest()
