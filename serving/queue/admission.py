"""How many requests may be in the house at once, and when one that was sent away should come back."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tunewright.serving.errors import Overloaded

_WEIGHT = 0.1
"""Share of the newest request in the moving average: about the last ten count."""


class Admission:
    """A bound on requests in flight. To be used from one thread, that of the event loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.in_flight = 0
        self._mean_seconds = 0.0

    @property
    def retry_after(self) -> int:
        """Whole seconds until those in flight are probably answered: as long as a request has lately taken."""
        return max(1, math.ceil(self._mean_seconds))

    def check(self) -> None:
        """Overloaded when there is no place: asked before a body is read, which would be for nothing."""
        if self.in_flight >= self.most:
            raise Overloaded(
                f"{self.in_flight} requests are in flight, the limit of this server; "
                f"try again in {self.retry_after} s (SERVING_LIMITS__REQUESTS)",
                retry_after=self.retry_after,
            )

    @contextmanager
    def slot(self) -> Iterator[None]:
        """A place for one request whose body is whole; Overloaded when there is none."""
        self.check()
        self.in_flight += 1
        begun = time.monotonic()
        try:
            yield
        finally:
            self.in_flight -= 1
            self._mean_seconds += _WEIGHT * (time.monotonic() - begun - self._mean_seconds)
