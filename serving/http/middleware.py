"""What holds for every request, whatever its address."""

import random
import re
from collections.abc import Awaitable, Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright.serving.errors import NotLoaded
from tunewright.serving.http.replies import error_reply
from tunewright.serving.live.models import Models
from tunewright.serving.watch.seen import Seen, begin

_ID = re.compile(rb"[!-~]{1,128}")
"""What a caller may call a request: it is written to logs and sent back."""


class Stamp:
    """Writes on each reply who answered and to which request, and asks callers to leave while the server drains."""

    def __init__(self, app: ASGIApp, models: Models) -> None:
        self._app = app
        self._models = models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and stamp the head of its reply."""
        name = _id_of(scope)
        seen = Seen(name.decode())
        begin(seen)

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                headers.append((b"x-request-id", name))
                if who := self._who(seen):
                    headers.append((b"x-tunewright-model", who.encode()))
                # A kept-alive connection would otherwise be cut when the server closes.
                if self._models.draining and all(name.lower() != b"connection" for name, _ in headers):
                    headers.append((b"connection", b"close"))
            await send(message)

        await self._app(scope, receive, stamped)

    def _who(self, seen: Seen) -> str:
        if seen.served is not None:
            return str(seen.served)
        try:
            return str(self._models.default)
        except NotLoaded:
            return ""


def _id_of(scope: Scope) -> bytes:
    given: bytes = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given if _ID.fullmatch(given) else b"%032x" % random.getrandbits(128)


class Doors:
    """Where the metrics have a port of their own they are there and nothing else is, and nowhere else."""

    def __init__(self, app: ASGIApp, models: Models) -> None:
        self._app = app
        self._models = models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what came to the right port."""
        port = self._models.metrics_port
        if port is None or (scope["server"][1] == port) == (scope["path"] == "/metrics"):
            await self._app(scope, receive, send)
            return
        place = f"{scope['method']} {scope['path']!r}"
        sentence = f"there is nothing at {place} of this port; the metrics have one of their own (SERVING_METRICS_PORT)"
        await error_reply(404, "NotFound", sentence)(scope, receive, send)


class Known:
    """Leads what is asked at an address without names straight to its handler: the router tries one after the other."""

    def __init__(self, app: ASGIApp, asked: Mapping[str, Callable[..., Awaitable[object]]]) -> None:
        """`asked`: what answers POST, by its address."""
        self._app = app
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        handler = self._asked.get(scope["path"]) if scope["method"] == "POST" else None
        await (self._app if handler is None else handler)(scope, receive, send)
