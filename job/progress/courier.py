"""Figures on their way to one tracker: beside the job, which waits for none, and fails with none."""

import queue
import threading
from collections.abc import Callable

from tunewright.job.errors import first_line
from tunewright.job.progress.tracker import Status, Tracker

Parcel = Callable[[Tracker], None]


class Courier:
    """Delivers to a tracker in a thread of its own, in order. After the first fault nothing more is delivered."""

    def __init__(self, name: str, begin: Callable[[], Tracker]) -> None:
        self.name = name
        self._begin, self._fault, self._is_told = begin, "", False
        self._parcels: queue.SimpleQueue[Parcel | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def give(self, parcel: Parcel) -> None:
        """Have this delivered after all that was given before."""
        if not self._fault:
            self._parcels.put(parcel)

    def fault(self) -> str:
        """What went wrong, the first time that this is asked; else nothing."""
        if not self._fault or self._is_told:
            return ""
        self._is_told = True
        return self._fault

    def end(self, status: Status, *, seconds: float) -> None:
        """Deliver what is on its way, and wait so long for it at most."""
        self.give(lambda tracker: tracker.end(status))
        self._parcels.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive() and not self._fault:
            self._fault = f"not all was delivered within {seconds:g} seconds"

    def _deliver(self) -> None:
        try:
            tracker = self._begin()
            while parcel := self._parcels.get():
                parcel(tracker)
        except Exception as error:
            # Whatever a library or a server does, the job goes on.
            self._fault = f"{type(error).__name__}: {first_line(error)}"
