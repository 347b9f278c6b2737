"""How many bytes may be in memory at once on their way to a store or from it, in the whole process."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Budget:
    """A number of bytes. Whoever wants more than is left waits; one who wants more than all goes alone."""

    def __init__(self, limit: int) -> None:
        self._limit, self._taken = limit, 0
        self._changed = Condition()

    def take(self, size: int) -> None:
        """Wait for so many bytes."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= self._limit)
            self._taken += size

    def give_back(self, size: int) -> None:
        """What was taken is not in memory any more."""
        with self._changed:
            self._taken -= size
            self._changed.notify_all()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """So many bytes for as long as this lasts."""
        self.take(size)
        try:
            yield
        finally:
            self.give_back(size)
