"""How long to wait for a store that has answered and does not any more."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_LONGEST = 15.0
"""Seconds between two tries."""
_SLICE = 0.5
"""Seconds until it is noticed that nobody waits any more."""
_TOLD = 60.0
"""Seconds between two lines."""


@dataclass
class Patience:
    """What a long-running program grants a store: each verb waits so long by itself."""

    seconds: float
    tell: Callable[[str], None]
    """Takes a line for people, one a minute."""
    is_over: Callable[[], bool] = lambda: False
    """Whether the program is to end, so that nobody waits any more."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _told: float = float("-inf")

    def say(self, what: str, left: float) -> None:
        """Tell that something is waited for, unless that was told within the last minute."""
        with self._lock:
            if time.monotonic() - self._told < _TOLD:
                return
            self._told = time.monotonic()
        self.tell(f"{what}; it is waited for, {left / 60:.1f} minutes more at most")


class Waiting:
    """The waiting of one call of a verb."""

    def __init__(self, patience: Patience | None) -> None:
        self._patience, self._tries = patience, 0
        self._until: float | None = None
        self._done: set[str] = set()

    def is_first(self, what: str) -> bool:
        """Whether this is asked for the first time, of what is done once without waiting."""
        is_first = what not in self._done
        self._done.add(what)
        return is_first

    def goes_on(self, what: str) -> bool:
        """Pause before the next try; False, at once, where there is none any more. `what` is not as it should be."""
        if self._patience is None or self._patience.is_over():
            return False
        now = time.monotonic()
        self._until = now + self._patience.seconds if self._until is None else self._until
        if now >= self._until:
            return False
        self._patience.say(what, self._until - now)
        self._pause(self._patience, min(now + min(_LONGEST, 2.0**self._tries), self._until))
        self._tries += 1
        return not self._patience.is_over()

    @staticmethod
    def _pause(patience: Patience, until: float) -> None:
        while (left := until - time.monotonic()) > 0 and not patience.is_over():
            time.sleep(min(left, _SLICE))


_granted: Patience | None = None


def granted() -> Patience | None:
    """What stores that are opened now are granted."""
    return _granted


@contextmanager
def granting(patience: Patience) -> Iterator[None]:
    """Grant it to all stores that are opened meanwhile."""
    global _granted
    before, _granted = _granted, patience
    try:
        yield
    finally:
        _granted = before
