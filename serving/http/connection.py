"""One connection of the web server: how long its requests may take to arrive, in how many pieces, and who makes room.

uvicorn, which reads HTTP by httptools, has no limit on the time and size of a head, on connections that send nothing,
on requests that wait behind others, and on the pieces of a body. What a caller can hold without sending a whole request
must not be what callers compete for.
"""

import asyncio
import functools
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tunewright.serving.watch.meters import reason

_FREE_PIECES = 4_096
_BYTES_PER_PIECE = 64
"""Of a body in more than so many pieces each must have so many bytes on average: a piece costs as much as 1 kB."""
_HEAD_BYTES = 64 << 10
"""Of a head, and of what comes between and after the pieces of a body."""
_WAITING = 100
"""Requests of one connection that are sent before the first of them is answered."""
_REFUSALS = {408, 413, 429, 431, 503}
"""What is counted as sent away; the others are mistakes."""
_MALFORMED = (400, "Malformed", "this is not HTTP/1.1 as this server reads it")


@dataclass(frozen=True)
class Bounds:
    """What callers may hold."""

    connections: int
    """Connections at the same time."""
    seconds: float
    """Between the first byte of a request and its last."""
    refused: Callable[[str], None] = lambda _: None
    """Told which of this server's limits a request has met."""


@dataclass
class Arrival:
    """When the request began that a connection is reading."""

    begun: float | None = None
    """By `time.monotonic`; None where all of it is there."""
    on_leave: Callable[[], object] | None = None
    """Called when the connection ends before the request is answered."""
    has_left: bool = False
    """Whether it has ended."""

    def leave(self) -> None:
        """The connection ends."""
        self.has_left = True
        if self.on_leave is not None:
            self.on_leave()


def arrival_of(scope: Mapping[str, Any]) -> Arrival:
    """What the connection of a request has noted; nothing where another server reads HTTP."""
    arrival: Arrival = scope["state"].get("arrival") or Arrival()
    return arrival


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with the bounds it does not have. A protocol of asyncio must be a class derived from it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: Bounds,
    ) -> None:
        self.arrival = Arrival()
        super().__init__(config, server_state, {**app_state, "arrival": self.arrival}, _loop)
        self._bounds = bounds
        self._clock: asyncio.TimerHandle | None = None
        self.waits_since = self.loop.time()
        """When it last had a whole request, or began."""
        self._cycles: deque[RequestResponseCycle] = deque()
        """Requests that are not answered yet; the first of them is worked on."""
        self._is_arriving = self._is_in_head = self._is_upgrade = False
        self._head_bytes = self._silent_bytes = self._pieces = self._body_bytes = 0
        self._fault: tuple[int, str, str] | None = None
        """What is wrong with a request; nothing is read any more, and earlier ones are answered first."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self._unset_keepalive_if_required()
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._fault is not None or self.transport.is_closing():
            return
        self._silent_bytes += len(data)
        try:
            self._feed(data)
            if self._silent_bytes > _HEAD_BYTES:
                self._refuse_head()
        except httptools.HttpParserError:
            self._fail(self._fault or _MALFORMED)
        self._watch()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_arriving = self._is_in_head = True
        self._head_bytes = self._silent_bytes = self._pieces = self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        # What stands after a body is nobody's header: the application may have begun with those before it.
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._check_head()
        if self.parser.should_upgrade():
            self._is_upgrade = True
            return
        app = self.app
        if self.parser.get_http_version() == "1.0":
            self.app = functools.partial(_without_chunks, app, self._cycles)
        super().on_headers_complete()
        self.app = app
        self._is_in_head = False
        if not self.expect_100_continue:
            self.cycle.transport = _Corked(self.transport)  # type: ignore[assignment]  # all that a cycle asks of one
        self._cycles.append(self.cycle)
        if len(self._cycles) > _WAITING:
            self._raise(429, "Overloaded", f"more than {_WAITING} requests wait on this connection; read their answers")

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        self._pieces += 1
        self._body_bytes += len(body)
        if self._pieces > _FREE_PIECES and self._body_bytes < self._pieces * _BYTES_PER_PIECE:
            self._raise(
                413,
                "TooLarge",
                f"the body comes in more than {_FREE_PIECES} pieces of less than {_BYTES_PER_PIECE} bytes; "
                "send larger ones",
            )
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_upgrade:
            self._is_arriving = False
            self._silent_bytes = 0
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Without a callback at its end, for which the event loop would take one more turn."""
        self.tasks.add(self.loop.create_task(self._answered(cycle, app)))

    async def _answered(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        try:
            await cycle.run_asgi(app)
        finally:
            self.tasks.remove(cast("asyncio.Task[None]", asyncio.current_task()))

    def on_response_complete(self) -> None:
        cycle = self._cycles.popleft()
        if isinstance(cycle.transport, _Corked):
            cycle.transport.flush()
        self.waits_since = self.loop.time()
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
        if self._fault is not None and not self._cycles:
            self.refuse(*self._fault)
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """Close where nothing is asked for so long. One clock for the connection: one for each answer costs more.

        What a request begins with counts, not any byte, as with uvicorn: empty lines would keep a connection for ever.
        """
        is_idle = not self._cycles and not self._is_arriving
        left = self.timeout_keep_alive - (self.loop.time() - self.waits_since if is_idle else 0)
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    @property
    def has_whole_request(self) -> bool:
        """Whether an answer is being made."""
        return bool(self._cycles) and not self._cycles[0].more_body

    def refuse(self, status: int, kind: str, sentence: str) -> None:
        """Answer in place of the application, where no answer has begun, and close."""
        if status in _REFUSALS and not self.transport.is_closing():
            self._bounds.refused(reason(sentence, kind))
        if self._may_answer() and not self.transport.is_closing():
            content = json.dumps({"error": sentence, "error_type": kind}).encode()
            head = [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(content))]
            lines = [*self.server_state.default_headers, *head, (b"Connection", b"close")]
            written = b"".join(b"%b: %b\r\n" % line for line in lines)
            self.transport.write(STATUS_LINE[status] + written + b"\r\n" + content)
        self._leave()
        self.transport.close()

    def _may_answer(self) -> bool:
        if self._cycles:
            return self.cycle is self._cycles[0] and not self.cycle.response_started
        return self._is_in_head or not self._is_arriving

    def _leave(self) -> None:
        """Tell who works on requests of this connection that nobody waits any more."""
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()
        self.arrival.leave()

    def _feed(self, data: bytes) -> None:
        """Read; a wish for another protocol is passed over, as HTTP allows: httptools would read no body after it."""
        while True:
            try:
                return self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
                version = self.parser.get_http_version().encode()
                line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)
                data = line + b"".join(lines) + b"\r\n" + data[upgrade.args[0] :]
                self._is_upgrade = False
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _check_head(self) -> None:
        """What HTTP asks for and httptools does not."""
        version, method = self.parser.get_http_version(), self.parser.get_method()
        hosts = sum(name == b"host" for name, _ in self.headers)
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if version not in ("1.0", "1.1") or hosts > 1 or (version == "1.1" and not hosts):
            self._raise(*_MALFORMED)
        if codings and (version == "1.0" or codings != [b"chunked"]):
            self._raise(*_MALFORMED)
        if method == b"CONNECT":
            self._raise(405, "MethodNotAllowed", "CONNECT is not possible: this server is no proxy")

    def _count_head(self, size: int) -> None:
        self._silent_bytes = 0
        self._head_bytes += size
        if self._head_bytes > _HEAD_BYTES:
            self._refuse_head()

    def _refuse_head(self) -> None:
        self._raise(431, "TooLarge", f"the head of the request has more than {_HEAD_BYTES} bytes")

    def _raise(self, status: int, kind: str, sentence: str) -> None:
        """End the reading, from within a callback of the parser."""
        self._fault = (status, kind, sentence)
        raise httptools.HttpParserError(sentence)

    def _fail(self, fault: tuple[int, str, str]) -> None:
        """Refuse the request that is read, once those before it are answered."""
        self._fault = fault
        has_begun = self._is_arriving and not self._is_in_head
        if has_begun and len(self._cycles) > 1:
            self._cycles.pop()
            self.pipeline.popleft()
            self._is_arriving = has_begun = False
        if not self._cycles or (has_begun and self.cycle is self._cycles[0]):
            self.refuse(*fault)

    def _make_room(self) -> None:
        """Where there is one connection too many, close the one that has longest not had a whole request."""
        # First what costs nothing: thousands may come at once, and each would look at all others.
        if len(self.connections) <= self._bounds.connections:
            return
        held = [one for one in self.connections if isinstance(one, Connection) and not one.transport.is_closing()]
        if len(held) <= self._bounds.connections:
            return
        waiting = (one for one in held if one is not self and not one.has_whole_request)
        leaver = min(waiting, key=lambda one: one.waits_since, default=self)
        leaver.refuse(
            503,
            "Overloaded",
            f"{self._bounds.connections} connections are open, the limit of this server (SERVING_LIMITS__CONNECTIONS)",
        )

    def _watch(self) -> None:
        """Start the clock with the first byte of a request, stop it with the last; who waits for others has time."""
        has_turn = not self._cycles or (not self._is_in_head and self.cycle is self._cycles[0])
        if not self._is_arriving or not has_turn or self.transport.is_closing():
            self._stop_clock()
        elif self._clock is None:
            self.arrival.begun = time.monotonic()
            self._clock = self.loop.call_later(self._bounds.seconds, self._late)

    def _stop_clock(self) -> None:
        self.arrival.begun = None
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _late(self) -> None:
        self._clock = None
        # A handler that reads the body knows the same limit, and says more than can be said here.
        if not self._cycles:
            self.refuse(
                408,
                "Incomplete",
                f"the request did not arrive within {self._bounds.seconds:g} s (SERVING_LIMITS__BODY_SECONDS)",
            )


class _Corked:
    """The transport of one answer: its head is written with what follows it, in one packet and by one system call."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._is_open = False

    def write(self, data: bytes) -> None:
        """Hold the first piece back until the second, or the end."""
        if self._is_open:
            self._transport.write(data)
        elif self._head is None:
            self._head = data
        else:
            self._is_open = True
            self._transport.write(self._head + data)

    def flush(self) -> None:
        """Nothing follows."""
        if not self._is_open and self._head is not None:
            self._is_open = True
            self._transport.write(self._head)

    def close(self) -> None:
        """End the connection once all is written."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it ends."""
        return self._transport.is_closing()


async def _without_chunks(
    app: ASGI3Application,
    cycles: deque[RequestResponseCycle],
    scope: Scope,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
) -> None:
    """Answer a caller that knows HTTP/1.0 alone: an answer whose length is not known ends with the connection."""
    cycle = cycles[0]

    async def plain(message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            cycle.chunked_encoding = None if b"content-length" in names else False
        elif message["type"] == "http.response.body" and cycle.chunked_encoding is False:
            cycle.expected_content_length = cycle.expected_content_length or len(message.get("body", b""))
        await send(message)

    await app(scope, receive, plain)
