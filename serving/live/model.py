"""One name that a process serves, the versions behind it, and which of them a request gets."""

import time
from dataclasses import dataclass, field
from typing import Literal

from tunewright.registry.versions.record import Version
from tunewright.serving.errors import NotFound, shown
from tunewright.serving.live.canary import Canary, share
from tunewright.serving.live.service import Service
from tunewright.serving.live.shadow import Comparison, Shadow
from tunewright.serving.live.slot import Slot

State = Literal["ready", "loading", "unloaded", "failed"]
"""Of a model: a version answers; the first one is on its way; none is in memory, the next request brings it back; none
could be brought."""


@dataclass(slots=True)
class Visit:
    """One request, from its reading to its end. No service that it was given is closed before."""

    key: bytes = b""
    """What tells this caller, or this text, from others."""
    default: str | None = None
    """The model it means where it names none: that in its address."""
    to: Service | None = None
    """Who is asked, whatever else would be chosen: the other side of a comparison."""
    given: list[Service] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Model:
    """A name, and the versions behind it."""

    name: str
    main: Slot
    canary: Canary | None = None
    shadow: Shadow | None = None
    is_loading: bool = True
    is_unloaded: bool = False
    """Put out of memory for others; the next request brings it back."""
    used: float = field(default_factory=time.monotonic)
    """When it was last asked."""
    body_bytes: int = 0
    """Largest body that the version reads which was last in memory."""

    @property
    def state(self) -> State:
        """What a caller has to expect."""
        if self.main.service is not None:
            return "ready"
        if self.is_loading:
            return "loading"
        return "unloaded" if self.is_unloaded else "failed"

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every place for a version, that of most requests first."""
        beside = (self.canary, self.shadow)
        return (self.main, *(one.slot for one in beside if one is not None))

    @property
    def version(self) -> Version | None:
        """The one that answers, or would if it were in memory."""
        seen = self.main.seen.version if self.main.seen is not None else None
        return self.main.version or seen

    def choose(self, visit: Visit | None) -> Service | None:
        """Who answers a request; None while it is not in memory."""
        if visit is None:
            return self.main.service
        if visit.to is not None:
            return visit.to if any(slot.service is visit.to for slot in self.slots) else None
        if self.canary is not None and self.main.service is not None and self.canary.takes(visit.key):
            return self.canary.slot.service
        return self.main.service

    def at(self, number: str) -> Service | None:
        """One of the versions by its number, None while none is in memory; NotFound."""
        loaded = [slot.service for slot in self.slots if slot.service is not None]
        found = next((one for one in loaded if str(one.version.number) == number), None)
        if found is None and loaded:
            there = ", ".join(map(str, dict.fromkeys(loaded)))
            is_are = "is" if len(set(loaded)) == 1 else "are"
            raise NotFound(f"version {shown(number)} of {self.name} is not served here; {there} {is_are}")
        return found

    def compares(self, service: Service, key: bytes) -> tuple[Service, Comparison] | None:
        """Whom to ask what this service was asked, and where to note what comes of it.

        What a canary answers is asked of the version that it is to replace, and all else of the shadow.
        """
        main, canary, shadow = self.main.service, self.canary, self.shadow
        if main is None:
            return None
        if canary is not None and service is canary.slot.service:
            return (main, canary.comparison) if service is not main and canary.stepped_back is None else None
        if shadow is None or shadow.slot.service in (None, service) or share(key[::-1]) * 100 >= shadow.percent:
            return None
        return shadow.slot.service, shadow.comparison

    def begins(self, slot: Slot) -> None:
        """Another version is in one of its places: what was counted is not about it."""
        if self.canary is not None and slot in (self.main, self.canary.slot):
            self.canary.begins()
        if self.shadow is not None and slot in (self.main, self.shadow.slot):
            self.shadow.comparison.begins()

    def status(self) -> dict[str, object]:
        """What there is to say of it, of which JSON can be made."""
        said: dict[str, object] = {"name": self.name, "state": self.state} | self.main.status()
        said |= {"canary": self.canary and self.canary.status(), "shadow": self.shadow and self.shadow.status()}
        return said
