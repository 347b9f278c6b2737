"""A place for one version of a model: which is there, how it came to be, and what went wrong last."""

import time
from dataclasses import dataclass, field

from tunewright.registry.versions.record import Version, now
from tunewright.registry.versions.watch import Seen
from tunewright.serving.bundle.folder import moves
from tunewright.serving.live.service import Service


@dataclass(frozen=True, slots=True)
class Swap:
    """Another version has come to answer."""

    version: Version
    before: Version | None
    seconds: float
    """From the first look at it to the first answer."""
    at: str = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that could not be brought to answer."""

    version: Version | None
    """None where the store could not be asked which one it is."""
    reason: str
    tries: int
    again: float
    """When it is tried again, by `time.monotonic`; a move to another version is taken at once."""
    at: str = field(default_factory=now)


@dataclass(slots=True, eq=False)
class Slot:
    """A place for a version: the one that a reference means."""

    reference: str
    service: Service | None = None
    """The version in memory; it may be another one than is meant, until that is proven to work."""
    seen: Seen | None = None
    """Where the reference was last seen to point."""
    memory: int = 0
    """Bytes that the version in memory takes, as its trial has measured."""
    swap: Swap | None = None
    failure: Failure | None = None

    @property
    def moves(self) -> bool:
        """Whether the reference may come to mean another version."""
        return moves(self.reference)

    @property
    def version(self) -> Version | None:
        """What is in memory."""
        return self.service.version if self.service else None

    @property
    def is_behind(self) -> bool:
        """Whether another version is meant than is in memory."""
        return self.seen is not None and (self.version is None or self.version.digest != self.seen.version.digest)

    @property
    def is_held_back(self) -> bool:
        """Whether what is meant has failed and it is too early to try it again."""
        return (
            self.seen is not None
            and self.failure is not None
            and self.failure.version == self.seen.version
            and time.monotonic() < self.failure.again
        )

    def status(self) -> dict[str, object]:
        """What there is to say of it, of which JSON can be made."""
        service, swap, failure = self.service, self.swap, self.failure
        said: dict[str, object] = {"reference": self.reference, "followed": self.moves}
        if service is not None:
            said |= _version(service.version) | {
                "variant": service.predictor.variant,
                "task": service.predictor.model.task,
                "memory_bytes": self.memory,
            }
        said["last_swap"] = swap and {
            "at": swap.at,
            "to": str(swap.version),
            "from": swap.before and str(swap.before),
            "seconds": round(swap.seconds, 3),
        }
        said["last_failure"] = failure and {
            "at": failure.at,
            "version": failure.version and str(failure.version),
            "reason": failure.reason,
            "tries": failure.tries,
            "again_in_seconds": max(0, round(failure.again - time.monotonic())),
        }
        return said


def _version(version: Version) -> dict[str, object]:
    return {"version": version.number, "digest": version.digest, "created": version.created}
