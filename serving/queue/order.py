"""Whose turn it is, and what shares a run."""

from collections import deque
from collections.abc import Iterator

from tunewright.serving.queue.work import Part, Work

_LOOKED_AT = 256
"""Parts that are looked at to fill a run."""
_PARTS_OF_ONE = 32
"""And of one request."""
_PADDING = 2
"""By how much a part of a run may be larger or smaller than its first one: what padding costs is more than what a run
saves that is not begun, which is worth about five tokens."""


class Order:
    """Requests that have something to do. Callers take turns, and so do the requests of one caller."""

    def __init__(self) -> None:
        self._works: dict[object, deque[Work]] = {}

    def append(self, work: Work) -> None:
        """It is last, unless it is in here already or has nothing to do."""
        if work.wants_a_turn and not work.is_in_order:
            work.is_in_order = True
            self._works.setdefault(work.caller, deque()).append(work)

    def take(self, *, only_small: bool = False) -> Work | None:
        """The request whose turn it is, taken out; its caller is last then. Those that are over are forgotten."""
        for caller, own in list(self._works.items()):
            self._forget_idle(own)
            work = next((one for one in own if not (only_small and one.is_large)), None)
            if work is None:
                if not own:
                    del self._works[caller]
                continue
            own.remove(work)
            work.is_in_order = False
            del self._works[caller]
            if own:
                self._works[caller] = own
            return work
        return None

    def fill(self, first: Part, most: int) -> list[Part]:
        """A run that begins with this part: parts of like size, of whoever comes next, within rows x largest `most`.

        They are taken out of their requests.
        """
        run, largest = [first], first.size
        if first.is_alone or most < 2 * first.size:
            return run
        found = [part for part in self._candidates(first.work.is_large) if _alike(part.size, first.size)]
        for part in sorted(found, key=lambda part: abs(part.size - first.size)):
            if (len(run) + 1) * max(largest, part.size) > most:
                break
            part.work.waiting.remove(part)
            run.append(part)
            largest = max(largest, part.size)
        return run

    def waiting(self, *, is_large: bool) -> int:
        """How much waits that a run could be filled with."""
        return sum(part.size for part in self._candidates(is_large))

    def has_small(self) -> bool:
        """Whether a small request has something to do."""
        return any(not work.is_large and work.wants_a_turn for work in self)

    def __iter__(self) -> Iterator[Work]:
        for own in self._works.values():
            yield from own

    def __bool__(self) -> bool:
        return bool(self._works)

    def _candidates(self, is_large: bool) -> Iterator[Part]:
        looked = 0
        for work in self:
            if work.is_over or work.is_large is not is_large:
                continue
            for part, _ in zip(work.waiting, range(_PARTS_OF_ONE), strict=False):
                if not part.is_alone:
                    yield part
                    looked += 1
            if looked >= _LOOKED_AT:
                return

    def _forget_idle(self, own: deque[Work]) -> None:
        for work in [one for one in own if not one.wants_a_turn]:
            own.remove(work)
            work.is_in_order = False


def _alike(one: int, other: int) -> bool:
    return abs(one - other) <= _PADDING
