"""One thread that ends what has taken too long, however much is watched at the same time."""

import math
import threading
import time
from collections.abc import Callable


class Watchdog:
    """Calls what it was given once the time is there, unless it has been let go by then.

    A thread for each deadline would cost a request more than its answer does: to begin one takes several turns of the
    interpreter's lock, each of which other requests may hold for milliseconds.
    """

    def __init__(self) -> None:
        self._ends: dict[Callable[[], None], float] = {}
        self._changed = threading.Condition()
        self._wakes = -math.inf
        """When the thread looks next; it does not run before there is something to watch."""
        self._thread: threading.Thread | None = None

    def watch(self, end: Callable[[], None], until: float) -> None:
        """Call this at that time of `time.monotonic`; it has to be quick."""
        with self._changed:
            self._ends[end] = until
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            elif until < self._wakes:
                # Deadlines that are all equally far away, as those of a server are, never come here.
                self._changed.notify()

    def let_go(self, end: Callable[[], None]) -> None:
        """It is done, or nobody waits for it any more."""
        with self._changed:
            self._ends.pop(end, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for end in [end for end, until in self._ends.items() if until <= now]:
                    del self._ends[end]
                    end()
                self._wakes = min(self._ends.values(), default=math.inf)
                self._changed.wait(None if self._wakes == math.inf else self._wakes - now)


WATCHDOG = Watchdog()
"""That of the process."""
