"""How many requests may be in the house at once, how much work, and when one that was sent away should come back."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tunewright.serving.errors import Overloaded

_WEIGHT = 0.05
"""Share of the newest request in the moving average: about the last twenty count."""
_SHARE = 0.5
"""Of the deadline that work may wait: what is estimated may take twice as long."""


class Admission:
    """A bound on requests in flight. To be used from one thread, that of the event loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.in_flight = 0
        self._last = self._gap = 0.0
        """When the last request was done, and the mean seconds between two of them while there were any."""

    @property
    def retry_after(self) -> int:
        """Whole seconds until those in flight are probably answered, as they have lately been."""
        return max(1, math.ceil(self.in_flight * self._gap))

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
        if not self.in_flight:
            # Where nobody asked nobody was answered.
            self._last = time.monotonic()
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            now = time.monotonic()
            self._gap += _WEIGHT * (now - self._last - self._gap)
            self._last = now


class Load:
    """A bound on how long a request to one model will probably take. To be used from the thread of the event loop."""

    def __init__(self, rate: Callable[[], float], deadline_seconds: float) -> None:
        """`rate`: how much is lately done in a second; 0 where that is not known yet."""
        self._rate, self._deadline = rate, deadline_seconds
        self._costs: dict[object, int] = {}

    def seconds(self, cost: int) -> float:
        """How long a request of such a cost will take: requests take turns, so of each other one as much is done."""
        rate = self._rate()
        return (cost + sum(min(cost, other) for other in self._costs.values())) / rate if rate else 0.0

    @contextmanager
    def taken(self, cost: int) -> Iterator[None]:
        """While such a request waits or runs; Overloaded where it might come too late because of the others."""
        if self._costs and (seconds := self.seconds(cost)) > _SHARE * self._deadline:
            wait = math.ceil(seconds)
            raise Overloaded(
                f"beside the others that wait the answer would take about {wait} s, and a request may take "
                f"{self._deadline:g} s (SERVING_LIMITS__DEADLINE_SECONDS); try again in {wait} s",
                retry_after=wait,
            )
        one = object()
        self._costs[one] = cost
        try:
            yield
        finally:
            del self._costs[one]
