"""The way back: from engine threads to the event loop."""

import asyncio
from collections import deque


class Returns:
    """Outcomes for those who wait in an event loop. One wake-up brings all that are there: it costs a system call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ready: deque[tuple[asyncio.Future[object], object]] = deque()
        self._is_called = False

    def put(self, waiting: "asyncio.Future[object]", outcome: object) -> None:
        """From any thread: what was waited for, or the exception in its place."""
        self._ready.append((waiting, outcome))
        if not self._is_called:
            self._is_called = True
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed, and nobody waits
                self._ready.clear()

    def _deliver(self) -> None:
        # First: what is put from now on, and found by nobody below, calls again.
        self._is_called = False
        while self._ready:
            waiting, outcome = self._ready.popleft()
            if waiting.done():
                continue
            if isinstance(outcome, Exception):
                waiting.set_exception(outcome)
            else:
                waiting.set_result(outcome)
