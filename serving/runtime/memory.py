"""Memory that pieces of work at the same time may take together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Memory:
    """So many bytes: who wants more than are free waits. Work that wants more than all of it goes alone."""

    def __init__(self, size: int) -> None:
        self._free = self._size = size
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold so many bytes of it."""
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()
