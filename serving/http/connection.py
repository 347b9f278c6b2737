"""One connection of the web server: how long its requests may take to arrive, in how many pieces, and who makes room.

uvicorn, which reads HTTP by h11, has no limit on the time of a head, on connections that send nothing, and on the
pieces of a body. What a caller can hold without sending a whole request must not be what callers compete for.
"""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_FREE_PIECES = 4_096
_BYTES_PER_PIECE = 64
"""Of a body in more than so many pieces each must have so many bytes on average: a piece costs as much as 1 kB."""


@dataclass(frozen=True)
class Bounds:
    """What callers may hold."""

    connections: int
    """Connections at the same time."""
    seconds: float
    """Between the first byte of a request and its last."""


@dataclass
class Arrival:
    """When the request began that a connection is reading."""

    begun: float | None = None
    """By the clock of the event loop, which is `time.monotonic`; None where it came in one piece."""


class _Parser(h11.Connection):
    """h11 that counts the pieces of a body."""

    pieces = size = 0
    is_crumbled = False

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.pieces = self.size = 0
        elif isinstance(event, h11.Data):
            self.pieces += 1
            self.size += len(event.data)
            if self.pieces > _FREE_PIECES and self.size < self.pieces * _BYTES_PER_PIECE:
                self.is_crumbled = True
                raise h11.RemoteProtocolError("the body comes in crumbs")
        return event


class Connection(H11Protocol):
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
        self.conn = self._parser = _Parser(h11.SERVER)
        self._bounds = bounds
        self._clock: asyncio.TimerHandle | None = None
        self.waits_since = self.loop.time()
        """When it last had a whole request, or began."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        self.waits_since = self.loop.time()
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        if self._parser.is_crumbled:
            self.refuse(
                413,
                "TooLarge",
                f"the body comes in more than {_FREE_PIECES} pieces of less than {_BYTES_PER_PIECE} bytes; "
                "send larger ones",
            )
        else:
            self.refuse(400, "Malformed", "this is not HTTP/1.1 as this server reads it")

    @property
    def has_whole_request(self) -> bool:
        """Whether an answer is being made."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def refuse(self, status: int, kind: str, sentence: str) -> None:
        """Answer in place of the application, where no answer has begun, and close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            content = json.dumps({"error": sentence, "error_type": kind}).encode()
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
            answer = [
                h11.Response(
                    status_code=status, headers=[*headers, ("Connection", "close")], reason=HTTPStatus(status).phrase
                ),
                h11.Data(data=content),
                h11.EndOfMessage(),
            ]
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in answer))
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _make_room(self) -> None:
        """Where there is one connection too many, close the one that has longest not had a whole request."""
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
        """Start the clock with the first byte of a request, stop it with the last."""
        if self.transport.is_closing() or not self._is_arriving():
            self._stop_clock()
        elif self._clock is None:
            self.arrival.begun = self.loop.time()
            self._clock = self.loop.call_later(self._bounds.seconds, self._late)

    def _is_arriving(self) -> bool:
        state = self.conn.their_state
        return state is h11.SEND_BODY or (state is h11.IDLE and bool(self.conn.trailing_data[0]))

    def _stop_clock(self) -> None:
        self.arrival.begun = None
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _late(self) -> None:
        self._clock = None
        # A handler that reads the body knows the same limit, and says more than can be said here.
        if self.cycle is None or self.cycle.response_complete:
            self.refuse(
                408,
                "Incomplete",
                f"the request did not arrive within {self._bounds.seconds:g} s (SERVING_LIMITS__BODY_SECONDS)",
            )
