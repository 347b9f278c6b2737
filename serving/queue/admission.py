"""How many requests may be in the house at once, how much work, and when one that was sent away should come back."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tunewright.serving.errors import Overloaded

_WEIGHT = 0.05
"""Share of the newest request in the moving average: about the last twenty count."""
_SHARE = 0.5
"""Of the deadline that a request may wait: what is estimated may take twice as long."""
_ALWAYS = 128
"""Others that a request may always wait for, within the deadline: so many callers are nothing unusual."""
_TURN = 512
"""What is done of a request in one turn, at most, in tokens."""


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
    """A bound on how long requests to one model wait for each other. To be used from the thread of the event loop."""

    def __init__(self, rate: Callable[[], float], *, queue_seconds: float, deadline_seconds: float) -> None:
        """`rate`: how much is lately done in a second; 0 where that is not known yet."""
        self._rate, self._queue, self._deadline = rate, queue_seconds, deadline_seconds
        self._others: dict[object, tuple[int, int]] = {}
        """What each costs, and the least that is done of it before another one has its turn."""

    def seconds(self, cost: int) -> float:
        """How long a request of such a cost will wait: requests take turns, so of each other one as much is done."""
        rate = self._rate()
        return sum(min(other, max(cost, turn)) for other, turn in self._others.values()) / rate if rate else 0.0

    @contextmanager
    def taken(self, costs: Sequence[int]) -> Iterator[None]:
        """While a request of inputs that cost so much waits or runs; Overloaded where it would wait for too long."""
        cost = sum(costs)
        self._check(self.seconds(cost))
        one = object()
        self._others[one] = cost, min(cost // max(1, len(costs)), _TURN)
        try:
            yield
        finally:
            del self._others[one]

    def _check(self, seconds: float) -> None:
        if seconds > _SHARE * self._deadline:
            name = "DEADLINE"
        elif seconds > self._queue and len(self._others) > _ALWAYS:
            name = "QUEUE"
        else:
            return
        wait = math.ceil(seconds)
        raise Overloaded(
            f"{len(self._others)} others wait, and the answer would take about {wait} s because of them, which is too "
            f"long (SERVING_LIMITS__{name}_SECONDS); try again in {wait} s",
            retry_after=wait,
        )
