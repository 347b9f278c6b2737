"""A line for each request: who, what, how it ended, how long. Never a text, and never a key."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright.serving.doors.exempt import PROBES
from tunewright.serving.events import emit
from tunewright.serving.watch.seen import Seen, now_seen

_LONGEST_PATH = 200


class AccessLog:
    """Writes the line once the reply is sent, or its caller is gone. Probes are written only where they fail."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count what goes by."""
        counted = _Counted()

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                counted.read += len(message.get("body", b""))
            return message

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                counted.status = message["status"]
            elif message["type"] == "http.response.body":
                counted.written += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, received, sent)
        finally:
            if counted.status != 200 or scope["path"] not in PROBES:
                _write(scope, now_seen(), counted)


class _Counted:
    """What has gone by of one request."""

    status = 0
    read = 0
    written = 0


def _write(scope: Scope, seen: Seen, counted: _Counted) -> None:
    milliseconds = round((time.monotonic() - seen.begun) * 1000, 2)
    # As it was sent: unquoted, it could write into a terminal.
    method, path = scope["method"], scope["raw_path"][:_LONGEST_PATH].decode("ascii", "backslashreplace")
    fields: dict[str, object] = {
        "id": seen.id,
        "client": scope["client"][0] if scope["client"] else None,
        "key": seen.key or None,
        "method": method,
        "path": path,
        "protocol": seen.protocol or None,
        "status": counted.status or seen.status,
        # Of a stream that broke, what it would have been had it been known before.
        "ended": seen.status if seen.status not in (0, counted.status) else None,
        "bytes_in": counted.read,
        "bytes_out": counted.written,
        "rows": seen.rows or None,
        "ms": milliseconds,
        "trace": seen.trace or None,
    }
    if seen.served is not None:
        fields |= {"model": seen.served.model, "version": seen.served.version, "variant": seen.served.variant}
    for name in {stretch.name for stretch in seen.stretches}:
        spent = sum(one.ended - one.begun for one in seen.stretches if one.name == name)
        fields[f"{name}_ms"] = round(spent * 1000, 2)
    known = {name: value for name, value in fields.items() if value is not None}
    emit("request", f"{method} {path} {fields['status']} {milliseconds:g} ms", level="info", **known)
