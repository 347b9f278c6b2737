"""What is known of one request: for its line in the access log and its spans, never what it says."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple

from tunewright.serving.watch.meters import Served


class Stretch(NamedTuple):
    """A part of the life of a request, between two readings of `time.monotonic`."""

    name: str
    begun: float
    ended: float


@dataclass(slots=True)
class Seen:
    """One request. Who works on it writes down what he learns; the middleware makes use of it at the end."""

    id: str
    """The caller's X-Request-Id, else one of ours."""
    begun: float = field(default_factory=time.monotonic)
    key: str = ""
    """The name of the key that its caller has."""
    trace: str = ""
    """The trace that it belongs to."""
    protocol: str = ""
    """The module that read it; empty for a page."""
    route: str = ""
    """The address, with `{model}` where it names one."""
    served: Served | None = None
    """Who answered."""
    rows: int = 0
    """Inputs that were asked for."""
    status: int = 0
    """As it is counted: of a stream that broke, the status of its end."""
    stretches: list[Stretch] = field(default_factory=list)

    def waited(self, begun: float, ended: float) -> None:
        """So long it was queued. From any thread."""
        self.stretches.append(Stretch("queue", begun, ended))

    def ran(self, begun: float, ended: float) -> None:
        """So long a run of the model, or several, computed for it. From any thread."""
        self.stretches.append(Stretch("run", begun, ended))


_SEEN: ContextVar[Seen | None] = ContextVar("seen", default=None)


def begin(seen: Seen) -> None:
    """From here on this task, and those that it starts, work on this request."""
    _SEEN.set(seen)


def now_seen() -> Seen:
    """The request that this task works on; outside of one, something that nobody reads."""
    return _SEEN.get() or Seen(id="")
