"""How many requests may be in the house at once, how much work, and when one that was sent away should come back."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

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

    def slot(self) -> AbstractContextManager[None]:
        """A place for one request whose body is whole; Overloaded when there is none."""
        return _Slot(self)

    def enter(self) -> None:
        """One more is in flight; Overloaded."""
        self.check()
        if not self.in_flight:
            # Where nobody asked nobody was answered.
            self._last = time.monotonic()
        self.in_flight += 1

    def leave(self) -> None:
        """One of them is done."""
        self.in_flight -= 1
        now = time.monotonic()
        self._gap += _WEIGHT * (now - self._last - self._gap)
        self._last = now


# Classes, here and below: a generator that is made a context manager takes three times as long.
@dataclass(slots=True)
class _Slot(AbstractContextManager[None]):
    admission: Admission

    def __enter__(self) -> None:
        self.admission.enter()

    def __exit__(self, *_: object) -> None:
        self.admission.leave()


class Load:
    """A bound on how long requests to one model wait for each other. To be used from the thread of the event loop."""

    def __init__(self, rate: Callable[[], float], *, queue_seconds: float, deadline_seconds: float) -> None:
        """`rate`: how much is lately done in a second; 0 where that is not known yet."""
        self._rate, self._queue, self._deadline = rate, queue_seconds, deadline_seconds
        self._others: dict[object, tuple[int, int]] = {}
        """What each costs, and the least that is done of it before another one has its turn."""
        self._cost = 0
        """Of all of them."""

    def seconds(self, cost: int) -> float:
        """How long a request of such a cost will wait: requests take turns, so of each other one as much is done."""
        rate = self._rate()
        return sum(min(other, max(cost, turn)) for other, turn in self._others.values()) / rate if rate else 0.0

    def taken(self, costs: Sequence[int]) -> AbstractContextManager[None]:
        """While a request of inputs that cost so much waits or runs; Overloaded where it would wait for too long."""
        return _Taken(self, costs)

    def enter(self, one: object, costs: Sequence[int]) -> None:
        """One more waits; Overloaded."""
        cost = sum(costs)
        # To look at each of them takes long where there are many, and no wait is longer than for all that they cost.
        if self._cost > self._rate() * min(self._queue, _SHARE * self._deadline):
            self._check(self.seconds(cost))
        self._others[one] = cost, min(cost // max(1, len(costs)), _TURN)
        self._cost += cost

    def leave(self, one: object) -> None:
        """It is done."""
        self._cost -= self._others.pop(one)[0]

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


@dataclass(slots=True, eq=False)
class _Taken(AbstractContextManager[None]):
    load: Load
    costs: Sequence[int]

    def __enter__(self) -> None:
        self.load.enter(self, self.costs)

    def __exit__(self, *_: object) -> None:
        self.load.leave(self)
