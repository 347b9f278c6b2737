"""The work for one request: by when it must be done, and whether anybody still waits for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tunewright.serving.errors import DeadlineExceeded
from tunewright.serving.runtime.session import TimeLimit


class Job:
    """What a thread is told when it begins to work for a request."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        """How long it may take."""
        self.deadline = time.monotonic() + seconds
        self.is_given_up = False
        self._limit: TimeLimit | None = None

    def give_up(self) -> None:
        """End what is being computed, and begin nothing more. To be called from any thread."""
        self.is_given_up = True
        if self._limit is not None:
            self._limit.end()

    @contextmanager
    def limit(self) -> Iterator[TimeLimit]:
        """The time that is left; DeadlineExceeded when there is none."""
        seconds = self.deadline - time.monotonic()
        if seconds <= 0 or self.is_given_up:
            raise DeadlineExceeded("the time of this request is over")
        with TimeLimit(seconds) as limit:
            self._limit = limit
            if self.is_given_up:
                limit.end()
            yield limit
