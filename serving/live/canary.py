"""A second version that answers a share of the requests, and when it has to leave them to the first one again."""

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tunewright.serving.events import emit
from tunewright.serving.live.service import Service
from tunewright.serving.live.shadow import Comparison
from tunewright.serving.live.slot import Slot
from tunewright.serving.settings import StepBack
from tunewright.serving.watch.meters import Meters

_REMEMBERED = 500
"""Requests of each side that are compared: the latest ones."""
_LOOK_EVERY = 10
"""Requests of the canary between two looks: sorting costs more than counting."""


@dataclass(slots=True)
class Side:
    """How the latest requests of one version went."""

    errors: deque[bool] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    requests: int = 0

    def add(self, status: int, seconds: float) -> None:
        """One request is done."""
        self.requests += 1
        self.errors.append(status >= 500)
        if status == 200:
            self.seconds.append(seconds)

    @property
    def share_of_errors(self) -> float:
        """Of the latest requests."""
        return _mean(self.errors)


@dataclass(slots=True)
class Canary:
    """The second version of a model."""

    model: str
    slot: Slot
    percent: float
    """Of the requests, while it is not worse."""
    limits: StepBack
    meters: Meters
    comparison: Comparison
    """What it answers is asked of the version that it is to replace, too."""
    stepped_back: str | None = None
    """Why it answers none any more; until its reference moves to another version."""
    _mine: Side = field(default_factory=Side)
    _theirs: Side = field(default_factory=Side)
    _differ: deque[bool] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def __post_init__(self) -> None:
        self.comparison.told = self._compared

    def takes(self, key: bytes) -> bool:
        """Whether it answers this caller, or this text: the same always goes the same way."""
        return self.slot.service is not None and self.stepped_back is None and share(key) * 100 < self.percent

    def begins(self) -> None:
        """Another version is in its place: it has a clean record."""
        self.stepped_back = None
        self._mine, self._theirs = Side(), Side()
        self._differ.clear()
        self.comparison.begins()

    def answered(self, service: Service, status: int, seconds: float) -> None:
        """A request of this model is done. From the thread of the event loop."""
        if service is not self.slot.service:
            self._theirs.add(status, seconds)
            return
        self._mine.add(status, seconds)
        if self._mine.requests % _LOOK_EVERY == 0:
            self._judge()

    def status(self) -> dict[str, object]:
        """What there is to say of it, of which JSON can be made."""
        said: dict[str, object] = {
            "percent": 0 if self.stepped_back else self.percent,
            "stepped_back": self.stepped_back,
            "requests": self._mine.requests,
            "errors": round(self._mine.share_of_errors, 4),
        }
        return self.slot.status() | said | self.comparison.status()

    def _compared(self, agrees: bool) -> None:
        self._differ.append(not agrees)
        if self.comparison.compared % _LOOK_EVERY == 0:
            self._judge()

    def _judge(self) -> None:
        why = self._worse() if self.stepped_back is None else None
        if why is None:
            return
        self.stepped_back = why
        self.meters.swapped(self.model, "stepped_back")
        emit(
            "canary_stepped_back",
            f"{self.slot.version} answers no requests any more: {why}",
            level="warning",
            model=self.model,
            version=str(self.slot.version),
            reason=why,
        )

    def _worse(self) -> str | None:
        """What is beyond its limit."""
        mine, theirs, limits = self._mine, self._theirs, self.limits
        if len(mine.errors) >= limits.requests:
            errors, usual = mine.share_of_errors, theirs.share_of_errors
            if errors > usual + limits.errors:
                return f"{errors:.1%} of its requests ended in errors, of the others {usual:.1%}"
        if min(len(mine.seconds), len(theirs.seconds)) >= limits.requests:
            slow, usual = percentile(mine.seconds), percentile(theirs.seconds)
            if slow > usual * limits.latency:
                return f"95 % of its answers took up to {slow * 1000:.1f} ms, of the others {usual * 1000:.1f} ms"
        if len(self._differ) >= limits.requests and (differ := _mean(self._differ)) > limits.disagreement:
            return f"{differ:.1%} of its answers differ from those of the version that it is to replace"
        return None


def share(key: bytes) -> float:
    """Where a key lies between 0 and 1, evenly, for ever the same."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) / 2**64


def percentile(seconds: Sequence[float], of: float = 0.95) -> float:
    """What that share of them is not above."""
    return sorted(seconds)[max(0, round(len(seconds) * of) - 1)]


def _mean(flags: Sequence[bool]) -> float:
    return sum(flags) / max(1, len(flags))
