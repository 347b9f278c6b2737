"""What this process serves: names, and for each the version that answers now; and what all of them share."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from tunewright.serving.errors import NotFound, shown
from tunewright.serving.live.service import Service
from tunewright.serving.queue.admission import Admission
from tunewright.serving.queue.bodies import SMALL_BODY, Bodies
from tunewright.serving.queue.turns import Turns
from tunewright.serving.settings import Limits
from tunewright.serving.watch.meters import Meters

Asked = TypeVar("Asked")


class Models:
    """The services of one process by the names of their models, and who is let in to them."""

    def __init__(self, service: Service, *, limits: Limits, meters: Meters) -> None:
        """`service`: that of the model which a request means that names none."""
        self.limits = limits
        self.meters = meters
        self.draining = False
        """Set once the server is about to stop: it still answers, but is no longer ready for more."""
        self.metrics_port: int | None = None
        """Where the metrics are, and nothing else is; None: beside everything else."""
        self.admission = Admission(limits.requests)
        self.bodies = Bodies(limits.bodies_bytes)
        self._services = {service.version.name: service}
        self._default = service.version.name
        self._turns = Turns()
        # Of its own, so that no large body, however long it takes to read, holds a thread that small ones wait for.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
        meters.process(in_flight=lambda: self.admission.in_flight, bodies_bytes=lambda: self.bodies.taken)

    @property
    def default(self) -> Service:
        """Who answers where a request names no model."""
        return self._services[self._default]

    @property
    def services(self) -> list[Service]:
        """All of them, that of the default first."""
        return [self.default, *(one for one in self._services.values() if one is not self.default)]

    @property
    def body_bytes(self) -> int:
        """Largest body that any of them reads."""
        return max(one.body_bytes for one in self.services)

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
