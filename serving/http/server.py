"""The life of the process: listen, answer, drain on SIGTERM, end."""

import asyncio
import functools
import logging
import math
import os
import resource
import selectors
import signal
import socket
import ssl
import threading
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from tunewright.serving.errors import SettingsError
from tunewright.serving.events import emit
from tunewright.serving.http.connection import Bounds, Connection
from tunewright.serving.live.models import Models

_KEEP_ALIVE_SECONDS = 75
"""Longer than the idle time-out of common load balancers (60 s), so that they close first and never lose a race."""
_STEP_SECONDS = 0.5
_SPARE_FILES = 64
"""What the process needs besides connections."""
_QUIET_SECONDS = 60.0
"""Between two lines on one and the same trouble of the event loop."""
_PASSED_BY = 3
"""Times that the event loop has something to do before it asks again whether more has arrived."""


def listen(host: str, port: int, setting: str = "SERVING_PORT") -> socket.socket:
    """A listening socket; SettingsError when the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it. Head and body of an answer are written apart: without it the body of every answer on
        # a kept-alive connection waits 40 ms for the caller's delayed acknowledgement of the head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        # create_server adds the address to strerror; the errors of name look-up have negative numbers.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise SettingsError(
            f"cannot listen on {host} port {port}: {why}; choose with SERVING_HOST and {setting}"
        ) from error


@dataclass(frozen=True)
class Stop:
    """What signals have asked for."""

    asked: threading.Event = field(default_factory=threading.Event)
    hurried: threading.Event = field(default_factory=threading.Event)


def take_signals() -> Stop:
    """From now on SIGTERM asks to stop; a second one, or Ctrl-C, hurries. From the main thread only."""
    stop = Stop()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.asked.is_set() or number == signal.SIGINT:
            stop.hurried.set()
        stop.asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop


class Web:
    """The web server in a thread of its own, so that the main one is free to load models and to wait for signals."""

    def __init__(
        self, app: Starlette, models: Models, listeners: list[socket.socket], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._models = models
        self._server = uvicorn.Server(web_config(app, models, tls))
        self._thread = threading.Thread(target=self._server.run, args=(listeners,), name="http")

    def start(self) -> None:
        """Answer from now on; until a model is loaded, that there is none."""
        self._thread.start()

    def serve(self, stop: Stop, *, drain_seconds: float) -> None:
        """Answer until told to stop; then drain: not ready first, no new connections next, nothing cut off."""
        while self._thread.is_alive() and not stop.asked.wait(_STEP_SECONDS):
            pass
        if not stop.asked.is_set():
            raise RuntimeError("the web server ended by itself; its log says why")
        models = self._models
        models.draining = True
        emit("draining", f"stopping: not ready from now on, closing in {drain_seconds:g} s", model=str(models))
        stop.hurried.wait(drain_seconds)
        self._server.should_exit = True
        self._thread.join()

    def end(self) -> None:
        """End at once, where it has not ended yet; nobody has been answered by a model."""
        self._server.force_exit = self._server.should_exit = True
        self._thread.join()


def web_config(app: Starlette, models: Models, tls: ssl.SSLContext | None = None) -> uvicorn.Config:
    """How the web server is set up: HTTP/1.1, quiet, patient with what is in flight when it stops."""
    connections = _most_connections(models.limits.connections)
    bounds = Bounds(connections, models.limits.body_seconds, models.meters.refused)
    return uvicorn.Config(
        app,
        http=functools.partial(Connection, bounds=bounds),  # type: ignore[arg-type]  # it is called, nothing else
        loop="tunewright.serving.http.server:event_loop",
        ws="none",
        ssl_context_factory=(lambda *_: tls) if tls else None,
        lifespan="off",
        log_config=None,
        # What callers do wrong is answered; a line for each would let them fill the log.
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(models.limits.body_seconds + models.limits.deadline_seconds) + 1,
    )


def event_loop() -> asyncio.AbstractEventLoop:
    """An event loop that says once a minute what it has to say a thousand times: that no file can be opened."""
    loop = asyncio.SelectorEventLoop(_Unhurried())
    said = -math.inf

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said
        # asyncio tries again as often as it failed, thousands of times, also once the listener is closed.
        if not any(word in context["message"] for word in ("accept", "_start_serving")):
            loop.default_exception_handler(context)
        elif loop.time() - said >= _QUIET_SECONDS:
            said = loop.time()
            logging.getLogger(__name__).error("no connection can be taken for now: %s", context.get("exception"))

    loop.set_exception_handler(tell)
    return loop


class _Unhurried(selectors.DefaultSelector):
    """Looks for what has arrived once there is nothing to do, or a few turns later.

    A request takes several turns of the event loop. Each of them would ask the system, to which the interpreter's lock
    is given away, and say nothing new.
    """

    def __init__(self) -> None:
        super().__init__()
        self._passed_by = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What has arrived. No time to wait for it means that something is to be done."""
        if timeout == 0 and self._passed_by < _PASSED_BY:
            self._passed_by += 1
            return []
        self._passed_by = 0
        return super().select(timeout)


def _most_connections(wanted: int) -> int:
    """As many as wanted, or as the limit of open files leaves room for."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, max(files - _SPARE_FILES, files // 2)))
