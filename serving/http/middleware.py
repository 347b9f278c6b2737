"""What holds for every request, whatever its address."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright.serving.http.replies import error_reply
from tunewright.serving.live.models import Models


class Stamp:
    """Writes on each reply who answered, and asks callers to leave while the server drains."""

    def __init__(self, app: ASGIApp, models: Models) -> None:
        self._app = app
        self._models = models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and stamp the head of its reply."""

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Tunewright-Model"] = str(self._models.default)
                # A kept-alive connection would otherwise be cut when the server closes.
                if self._models.draining:
                    headers["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, stamped)


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
