"""What this process serves: names, and for each the version that answers now; and what all of them share."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from tunewright.serving.bundle.folder import name_of
from tunewright.serving.errors import NotFound, NotLoaded, shown
from tunewright.serving.live.canary import Canary
from tunewright.serving.live.model import Model, Visit
from tunewright.serving.live.service import Service
from tunewright.serving.live.shadow import Comparison, Mirror, Question
from tunewright.serving.live.slot import Slot
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
        """`service`: one that is loaded already; it stays."""
        self.limits = limits
        self.meters = meters
        self.draining = False
        """Set once the server is about to stop: it still answers, but is no longer ready for more."""
        self.waits_for: str | None = None
        """What this server waits for before it can load anything, in a sentence."""
        self.metrics_port: int | None = None
        """Where the metrics are, and nothing else is; None: beside everything else."""
        self.loads: Callable[[Model], Future[None]] | None = None
        """Who brings back a model that is not in memory."""
        self.admission = Admission(limits.requests)
        self.bodies = Bodies(limits.bodies_bytes)
        self._models: dict[str, Model] = {}
        self._held: Counter[Service] = Counter()
        self._left = threading.Condition()
        """Told when a request is done. Its lock guards which service a slot has, and who holds it."""
        self._visit: Visit | None = None
        self._mirror = Mirror(meters, lambda: self.admission.in_flight)
        self._turns = Turns()
        # Of its own, so that no large body, however long it takes to read, holds a thread that small ones wait for.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
        meters.process(
            in_flight=lambda: self.admission.in_flight,
            bodies_bytes=lambda: self.bodies.taken,
            ready=lambda: self.why_not_ready is None,
        )
        if service is not None:
            self.put(self.add(str(service.version)).main, service)

    def __str__(self) -> str:
        return ", ".join(map(str, self.services))

    @property
    def is_started(self) -> bool:
        """Whether each model has had a version."""
        return bool(self._models) and all(model.body_bytes for model in self.all)

    @property
    def why_not_ready(self) -> str | None:
        """Why a load balancer should send nothing here; None where it should."""
        if self.draining:
            return "this server is about to stop: send requests to another one"
        return None if self.is_started else self.waits_for or _LOADING

    def add(self, reference: str) -> Model:
        """A model more, which nobody can ask before it has a version. The first one is the default."""
        model = Model(name_of(reference), Slot(reference))
        self._models[model.name] = model
        return model

    @property
    def all(self) -> list[Model]:
        """What is served here, loaded or not, the default first."""
        return list(self._models.values())

    @property
    def names(self) -> list[str]:
        """The names of all models."""
        return list(self._models)

    @property
    def default(self) -> Service:
        """Who answers where a request names no model; NotLoaded."""
        return self.find()

    @property
    def services(self) -> list[Service]:
        """Those that are loaded and answer, that of the default first."""
        return [model.main.service for model in self.all if model.main.service is not None]

    @property
    def body_bytes(self) -> int:
        """Largest body that any of them reads."""
        return max((model.body_bytes for model in self.all), default=0) or self.limits.body_bytes or SMALL_BODY

    def find(self, name: str | None = None) -> Service:
        """The service of a model, the default's where no name is given; NotFound, NotLoaded.

        `reviews:8` is that version, where it is in memory: the one that answers, the canary or the shadow.
        """
        if not self._models:
            raise NotLoaded(_LOADING, model="")
        visit = self._visit
        asked = visit.default if name is None and visit is not None else name
        name, _, number = (None, "", "") if asked is None else asked.partition(":")
        model = self.model(name)
        with self._left:
            is_free = not number or (visit is not None and visit.to is not None)
            service = model.choose(visit) if is_free else model.at(number)
            if service is None:
                why = f"{model.name} is not loaded; try again in some seconds" if model.body_bytes else _LOADING
                raise NotLoaded(why, model=model.name)
            if visit is not None:
                visit.given.append(service)
                self._held[service] += 1
            model.used = time.monotonic()
        return service

    def model(self, name: str | None = None) -> Model:
        """What is known of a model, of the default where no name is given; NotFound."""
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            raise NotFound(f"no model {shown(name)} is served here; there is: {', '.join(self._models)}")
        return self._models[name]

    def visited(self, visit: Visit) -> "AbstractContextManager[Models]":
        """These models as one request sees them; what it is given there stays loaded until it is done."""
        return _Visited(self, visit)

    def seen_by(self, visit: Visit) -> "Models":
        """These models, in one visit."""
        # Not by `copy`, which takes three times as long.
        seen = object.__new__(type(self))
        seen.__dict__.update(self.__dict__, _visit=visit)
        return seen

    def let_go(self, visit: Visit) -> None:
        """A request is done: nothing that it was given is held for it any more."""
        with self._left:
            for service in visit.given:
                self._held[service] -= 1
                if self._held[service] <= 0:
                    del self._held[service]
            visit.given.clear()
            self._left.notify_all()

    async def loaded(self, name: str) -> None:
        """Wait until a model is in memory again; NotLoaded where it cannot be brought."""
        if self.loads is None:
            raise NotLoaded(_LOADING, model=name)
        # One load may have many who wait for it: who gives up must not cancel it for the others.
        await asyncio.shield(asyncio.wrap_future(self.loads(self.model(name))))

    def put(self, slot: Slot, service: Service | None, *, memory: int = 0) -> Service | None:
        """From now on requests go to this service; the one before it, where nobody else needs it.

        Those that are being answered by it stay there: see `wait_for_last`.
        """
        with self._left:
            before, slot.service, slot.memory = slot.service, service, memory
            for model in self.all:
                if slot in model.slots:
                    model.begins(slot)
                if slot is model.main:
                    model.is_loading = False
                    model.is_unloaded = service is None
                    model.body_bytes = service.body_bytes if service else model.body_bytes
            return None if before is None or before in self._in_slots() else before

    def tries(self, model: Model, canary: Canary | None) -> Service | None:
        """From now on this canary, or none, is beside a model; the service of the one before, where nobody else needs
        it."""
        with self._left:
            before = model.canary.slot.service if model.canary is not None else None
            model.canary = canary
            return None if before is None or before in self._in_slots() else before

    def wait_for_last(self, service: Service, seconds: float) -> bool:
        """Until nobody is being answered by it any more; False where that takes longer."""
        with self._left:
            return self._left.wait_for(lambda: service not in self._held, seconds)

    def answered(self, service: Service, status: int, seconds: float) -> None:
        """One request is done: for the judgement of a canary."""
        if (canary := self._models[service.version.name].canary) is not None:
            canary.answered(service, status, seconds)

    def mirrored(self, service: Service, key: bytes) -> tuple[Service, Comparison] | None:
        """Whom to ask in spare time what this service was asked, and where to note what comes of it."""
        return self._models[service.version.name].compares(service, key)

    def ask_later(self, question: Question) -> None:
        """Ask another version when there is time, and compare."""
        self._mirror.offer(question)

    def status(self) -> list[dict[str, object]]:
        """What there is to say of each model, of which JSON can be made."""
        with self._left:
            return [model.status() | {"default": number == 0} for number, model in enumerate(self.all)]

    def turn(self, size: int) -> AbstractContextManager[None]:
        """While a request of so many bytes is worked on: large ones are read when no small one is."""
        return self._turns.small() if size <= SMALL_BODY else nullcontext()

    async def read(self, read: Callable[[], Asked], *, size: int) -> Asked:
        """What a body of so many bytes says: a small one at once, a large one in a thread, once it is its turn."""
        if size <= SMALL_BODY:
            return read()
        async with self._turns.large():
            return await asyncio.get_running_loop().run_in_executor(self._reader, read)

    def close(self) -> None:
        """End what was started; what is being computed is finished first."""
        self._reader.shutdown(wait=True)
        for service in self._in_slots():
            service.close()

    def _in_slots(self) -> set[Service]:
        return {slot.service for model in self.all for slot in model.slots if slot.service is not None}


@dataclass(slots=True)
class _Visited(AbstractContextManager[Models]):
    """A generator that is made a context manager takes three times as long."""

    models: Models
    visit: Visit

    def __enter__(self) -> Models:
        return self.models.seen_by(self.visit)

    def __exit__(self, *_: object) -> None:
        self.models.let_go(self.visit)
