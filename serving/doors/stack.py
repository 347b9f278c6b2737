"""Which doors a server has, as its settings say: what is off is not there."""

from collections.abc import Callable

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from tunewright.serving.doors.access_log import AccessLog
from tunewright.serving.doors.coding import Coding
from tunewright.serving.doors.keys import KeyRing, Keys
from tunewright.serving.doors.spans import Spans, Tracing
from tunewright.serving.protocols.protocol import Explain
from tunewright.serving.settings import ServingSettings
from tunewright.serving.watch.meters import Meters

_TOLD = ["X-Request-Id", "X-Tunewright-Model", "Retry-After"]
"""Headers that a page of another origin may read."""


def doors(
    settings: ServingSettings,
    meters: Meters,
    explain: Callable[[str], Explain],
    tracing: Tracing | None = None,
) -> list[Middleware]:
    """What stands before the addresses of a server, from the outside in; SettingsError for keys that cannot be read.

    `explain`: how faults are told at an address.
    """
    found: list[Middleware] = []
    if tracing is not None:
        found.append(Middleware(Spans, tracing=tracing))
    if settings.access_log:
        found.append(Middleware(AccessLog))
    if settings.origins:
        found.append(_cors(settings.origins))
    if settings.keys is not None or settings.keys_file is not None:
        # Behind the one before: a browser asks without a key whether it may ask with one.
        ring = KeyRing(settings.keys, settings.keys_file)
        found.append(Middleware(Keys, ring=ring, meters=meters, explain=explain))
    return [*found, Middleware(Coding, packs=settings.compress)]


def _cors(origins: str) -> Middleware:
    allowed = [origin.strip() for origin in origins.split(",")]
    return Middleware(
        CORSMiddleware,
        allow_origins=allowed,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=_TOLD,
    )
