"""What this process serves: names, and for each the version that answers now; and what all of them share."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from tunewright.serving.errors import NotFound, NotLoaded, shown
from tunewright.serving.live.service import Service
from tunewright.serving.queue.admission import Admission
from tunewright.serving.queue.bodies import SMALL_BODY, Bodies
from tunewright.serving.queue.turns import Turns
from tunewright.serving.settings import Limits
from tunewright.serving.watch.meters import Meters

Asked = TypeVar("Asked")

_LOADING = "no model is loaded yet: this server has just started, try again in some seconds"


class Models:
    """The services of one process by the names of their models, and who is let in to them."""

    def __init__(self, service: Service | None = None, *, limits: Limits, meters: Meters) -> None:
        """`service`: one that is loaded already."""
        self.limits = limits
        self.meters = meters
        self.draining = False
        """Set once the server is about to stop: it still answers, but is no longer ready for more."""
        self.metrics_port: int | None = None
        """Where the metrics are, and nothing else is; None: beside everything else."""
        self.admission = Admission(limits.requests)
        self.bodies = Bodies(limits.bodies_bytes)
        self._services: dict[str, Service] = {}
        self._turns = Turns()
        # Of its own, so that no large body, however long it takes to read, holds a thread that small ones wait for.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
        meters.process(
            in_flight=lambda: self.admission.in_flight,
            bodies_bytes=lambda: self.bodies.taken,
            ready=lambda: self.why_not_ready is None,
        )
        if service is not None:
            self.put(service)

    def put(self, service: Service) -> None:
        """From now on this version answers; the first model is the one that a request means which names none."""
        self._services[service.version.name] = service

    @property
    def is_started(self) -> bool:
        """Whether there has been something to answer with."""
        return bool(self._services)

    @property
    def why_not_ready(self) -> str | None:
        """Why a load balancer should send nothing here; None where it should."""
        if self.draining:
            return "this server is about to stop: send requests to another one"
        return None if self._services else _LOADING

    @property
    def default(self) -> Service:
        """Who answers where a request names no model; NotLoaded."""
        if not self._services:
            raise NotLoaded(_LOADING, model="")
        return next(iter(self._services.values()))

    @property
    def services(self) -> list[Service]:
        """All of them, that of the default first."""
        return list(self._services.values())

    @property
    def body_bytes(self) -> int:
        """Largest body that any of them reads; NotLoaded."""
        return max(self.default.body_bytes, *(one.body_bytes for one in self.services))

    def find(self, name: str | None) -> Service:
        """The service of a model, the default's where no name is given; NotFound."""
        if name is None:
            return self.default
        if name not in self._services:
            raise NotFound(f"no model {shown(name)} is served here; there is: {', '.join(self._services)}")
        return self._services[name]

    @contextmanager
    def turn(self, size: int) -> Iterator[None]:
        """While a request of so many bytes is worked on: large ones are read when no small one is."""
        if size > SMALL_BODY:
            yield
            return
        with self._turns.small():
            yield

    async def read(self, read: Callable[[], Asked], *, size: int) -> Asked:
        """What a body of so many bytes says: a small one at once, a large one in a thread, once it is its turn."""
        if size <= SMALL_BODY:
            return read()
        async with self._turns.large():
            return await asyncio.get_running_loop().run_in_executor(self._reader, read)

    def close(self) -> None:
        """End what was started; what is being computed is finished first."""
        self._reader.shutdown(wait=True)
        for service in self.services:
            service.close()
