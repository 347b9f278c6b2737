"""Keeps models where their references point. One thread does all of it, so there are never two swaps at once.

A version comes to answer only when it has proven to work; until then, and where it does not, the one before answers on.
What has failed is tried again after a while that doubles, and at once when the reference moves on.
"""

import contextlib
import gc
import random
import threading
import time
import traceback
import weakref
from concurrent.futures import Future
from dataclasses import dataclass

from tunewright.registry.errors import AccessDenied, RegistryError, Unreachable, Untrusted
from tunewright.registry.versions.watch import Seen
from tunewright.serving.errors import BundleError, NotLoaded, ServingError
from tunewright.serving.events import emit
from tunewright.serving.live.loading import Loader
from tunewright.serving.live.model import Model
from tunewright.serving.live.models import Models
from tunewright.serving.live.service import Service
from tunewright.serving.live.slot import Failure, Slot, Swap
from tunewright.serving.live.trials import Trials
from tunewright.serving.live.waiting import wait_for
from tunewright.serving.runtime.free_memory import give_back
from tunewright.serving.runtime.large_pages import gather
from tunewright.serving.runtime.priority import give_way
from tunewright.serving.trial.parent import end_trials

_LONGEST_WAIT = 3600.0
"""Seconds between two tries of one version, at most."""
_STORE_WAIT = 60.0
"""Seconds between two questions to a store that does not answer, at most, unless it is asked less often anyway."""
_MORE_THAN_THE_DEADLINE = 5.0
_UNREACHED = (Unreachable, AccessDenied)
"""It is the store, or the way to it: nothing is known of a version."""


class _Stopping(Exception):
    """The server ends: nothing more is brought."""


@dataclass
class Pace:
    """How often the store is asked."""

    poll_seconds: float
    """0: never."""
    retry_seconds: float = 60.0
    """Before the second try of a version that failed; doubled for each one after."""
    misses: int = 0
    """Questions in a row that the store did not answer."""

    def pause(self) -> float | None:
        """Seconds until the next question, at random, so that many servers do not ask all at once; None: for ever."""
        if not self.poll_seconds:
            return None
        slowed = min(self.poll_seconds * 2.0**self.misses, max(_STORE_WAIT, self.poll_seconds))
        return slowed * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret

    def again(self, tries: int) -> float:
        """When a version is tried again that has failed so many times."""
        return time.monotonic() + min(self.retry_seconds * 2.0 ** (tries - 1), _LONGEST_WAIT)


class Follower:
    """The thread that brings versions in, and takes them out."""

    def __init__(
        self,
        models: Models,
        loader: Loader,
        pace: Pace,
        *,
        memory_bytes: int | None = None,
        trials: Trials | None = None,
        waits: bool = False,
    ) -> None:
        """`memory_bytes`: what all models may take together; those longest not asked go out of memory. `trials`: the
        canaries that the registry names. `waits`: for the first version of each model, where there is none."""
        self._models, self._loader, self._pace, self._trials = models, loader, pace, trials
        self._memory_bytes, self._waits = memory_bytes, waits
        self._wanted: dict[str, Future[None]] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)

    def start(self) -> None:
        """Begin to follow, and to bring back what is asked for."""
        self._models.loads = self.want
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """End; what has begun is broken off at its next step."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        end_trials()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def want(self, model: Model) -> Future[None]:
        """Bring a model back into memory; to be called from any thread."""
        with self._changed:
            if model.name not in self._wanted:
                self._wanted[model.name] = Future()
                self._changed.notify_all()
            return self._wanted[model.name]

    def bring_all(self) -> None:
        """The first version of each model, in the caller's thread. RegistryError, BundleError."""
        look = self._wait_for if self._waits else self._loader.look
        for model in self._models.all:
            for slot in model.slots:
                slot.seen = look(slot.reference)
                self._bring(model, slot)
            self._try(model)
        give_back()

    def _wait_for(self, reference: str) -> Seen:
        return wait_for(self._models, reference, self._loader.look, pause=self._sleep)

    def _sleep(self) -> float:
        """Until it is time to ask the store again; the seconds that are."""
        seconds = min(self._pace.pause() or _STORE_WAIT, _STORE_WAIT)
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)
        self._go_on()
        return seconds

    def _run(self) -> None:
        give_way()
        # Not before: nothing is quicker to its first answer by it.
        gather()
        due = self._due()
        while not self._stopping:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._wanted, due and due - time.monotonic())
                wanted = list(self._wanted)
            with contextlib.suppress(_Stopping):
                for name in wanted:
                    self._load(self._models.model(name))
                    gather()
                if due is not None and time.monotonic() >= due:
                    self._poll()
                    due = self._due()
        for waiting in self._wanted.values():
            waiting.set_exception(NotLoaded("this server is about to stop", model=""))

    def _due(self) -> float | None:
        pause = self._pace.pause()
        return None if pause is None else time.monotonic() + pause

    def _poll(self) -> None:
        """Look after each reference that moves."""
        try:
            for model in self._models.all:
                for slot in model.slots:
                    if slot.moves and slot.seen is not None and not model.is_unloaded:
                        self._follow(model, slot)
                self._try(model)
        except _UNREACHED as error:
            self._missed(error)
        else:
            if self._pace.misses:
                emit("store_back", "the registry answers again")
            self._pace.misses = 0

    def _missed(self, error: RegistryError) -> None:
        self._pace.misses += 1
        if self._pace.misses == 1:
            emit(
                "store_unreachable",
                f"the registry does not answer, so no move is seen; what is loaded answers on: {error}",
                level="warning",
                error=type(error).__name__,
            )

    def _follow(self, model: Model, slot: Slot) -> None:
        assert slot.seen is not None
        try:
            if self._loader.has_moved(slot.seen):
                slot.seen = self._loader.look(slot.reference)
                self._tell_of_a_move(model, slot)
            if slot.is_behind and not slot.is_held_back:
                self._bring(model, slot)
            elif not slot.is_behind:
                slot.failure = None
        except _Stopping:
            raise
        except Exception as error:
            # Also what no one thought of: a server does not end for a version that it does not serve.
            is_the_store = isinstance(error, _UNREACHED)
            if slot.is_behind or not is_the_store:
                self._failed(model, slot, error)
            if is_the_store:
                raise

    def _try(self, model: Model) -> None:
        """Give a model the canary that the registry names, or take it away."""
        if self._trials is None or model.is_unloaded or (changed := self._trials.changed(model)) is None:
            return
        (canary,) = changed
        if canary is None:
            self._retire(self._models.tries(model, None))
            emit("canary_ended", f"{model.main.version} answers all requests", model=model.name)
            return
        try:
            canary.slot.seen = self._loader.look(canary.slot.reference)
            self._bring(model, canary.slot)
        except _Stopping:
            raise
        except Exception as error:
            self._retire(self._models.tries(model, None))
            self._failed(model, canary.slot, error)
            return
        # Now, so that another share of the same version loads nothing.
        self._retire(self._models.tries(model, canary))
        told = f"{canary.slot.version} answers {canary.percent:g} % of the requests of {model.main.reference}"
        emit("canary_began", told, model=model.name, version=str(canary.slot.version), percent=canary.percent)

    def _tell_of_a_move(self, model: Model, slot: Slot) -> None:
        if slot.seen is not None and slot.is_behind:
            to, digest = slot.seen.version, slot.seen.version.digest
            emit("moved", f"{slot.reference} has moved to {to}", model=model.name, version=str(to), digest=digest)

    def _bring(self, model: Model, slot: Slot) -> None:
        """Put the version into a slot that its reference means."""
        assert slot.seen is not None
        version, before, begun = slot.seen.version, slot.version, time.monotonic()
        there = next(
            (one for one in model.slots if one.version is not None and one.version.digest == version.digest), None
        )
        if there is not None:
            service, memory, cases = there.service, there.memory, 0
        else:
            make_room = self._make_room if model.main.service is None else None
            loaded = self._loader.load(version, between=self._go_on, room=make_room)
            service, memory, cases = loaded.service, loaded.tried.memory, loaded.tried.cases
        old = [self._models.put(slot, service, memory=memory)]
        slot.swap, slot.failure = Swap(version, before, time.monotonic() - begun), None
        self._tell(slot, cases)
        if before is not None:
            self._models.meters.swapped(model.name, "swapped")
        self._retire(old.pop())  # nothing here may hold what is to be freed

    def _tell(self, slot: Slot, cases: int) -> None:
        service, swap = slot.service, slot.swap
        assert service is not None
        assert swap is not None
        task = service.predictor.model.task
        what = f"loaded {service} ({task}), {cases} golden cases replayed"
        emit(
            "loaded" if swap.before is None else "swapped",
            what if swap.before is None else f"{what}; it answers in place of {swap.before}",
            model=str(service),
            digest=service.version.digest,
            task=task,
            golden_cases=cases,
            seconds=round(swap.seconds, 3),
            before=swap.before and str(swap.before),
        )

    def _failed(self, model: Model, slot: Slot, error: Exception) -> None:
        """Keep what answers, and say once why it is not another version."""
        if self._stopping:
            raise _Stopping
        version, last = slot.seen.version if slot.seen else None, slot.failure
        is_same = last is not None and last.version == version
        tries = last.tries + 1 if last is not None and is_same else 1
        # A store that answers again is asked at once.
        again = time.monotonic() if isinstance(error, _UNREACHED) else self._pace.again(tries)
        slot.failure = Failure(version, str(error), tries, again)
        self._models.meters.swapped(model.name, _outcome(error))
        if is_same and last is not None and last.reason == slot.failure.reason:
            return
        emit(
            "swap_failed",
            f"{slot.reference} cannot be taken to {version}; {slot.version} answers on: {error}",
            level="error",
            model=model.name,
            version=str(version),
            kept=str(slot.version),
            error=type(error).__name__,
            traceback=None if isinstance(error, (RegistryError, ServingError)) else traceback.format_exc(),
        )

    def _load(self, model: Model) -> None:
        """Bring a model back that is asked for; those who wait are told how it went."""
        why: Exception | None = None
        try:
            if model.main.service is None:
                model.is_loading = True
                self._load_slots(model)
        except Exception as error:
            self._failed(model, model.main, error)
            why = NotLoaded(
                f"{model.name} cannot be loaded now; the log of this server says why, try again later", model=model.name
            )
        finally:
            model.is_loading = False
        with self._changed:
            waiting = self._wanted.pop(model.name)
        waiting.set_exception(why) if why else waiting.set_result(None)

    def _load_slots(self, model: Model) -> None:
        for slot in model.slots:
            slot.seen = self._loader.look(slot.reference)
            if slot.is_held_back and slot.failure is not None:
                raise BundleError(slot.failure.reason)
            self._bring(model, slot)

    def _make_room(self, memory: int) -> None:
        """Put models out of memory, those longest not asked first, until there is place for so many bytes."""
        while self._memory_bytes is not None and self._taken() + memory > self._memory_bytes:
            loaded = [model for model in self._models.all if model.main.service is not None]
            if not loaded:
                return
            self._unload(min(loaded, key=lambda model: model.used))

    def _taken(self) -> int:
        taken = {slot.service: slot.memory for model in self._models.all for slot in model.slots if slot.service}
        return sum(taken.values())

    def _unload(self, model: Model) -> None:
        service = model.main.service
        for slot in reversed(model.slots):
            self._retire(self._models.put(slot, None))
        emit("unloaded", f"{service} is put out of memory (SERVING_MEMORY_BYTES)", model=str(service))

    def _retire(self, service: Service | None) -> None:
        """Free a service once nobody is being answered by it any more."""
        if service is None:
            return
        if not self._models.wait_for_last(service, self._models.limits.deadline_seconds + _MORE_THAN_THE_DEADLINE):
            emit("drained_late", f"{service} still has callers that do not read their answers", level="warning")
        # A run that does not end must not keep the next version away.
        closing = threading.Thread(target=service.close, name="close", daemon=True)
        closing.start()
        closing.join(_MORE_THAN_THE_DEADLINE)
        self._models.meters.retires(service.served)
        is_there = weakref.ref(service)
        del service, closing
        if is_there() is not None:
            # Something of it refers to itself: it, and the graph, would stay until the collector comes by.
            gc.collect()
        give_back()
        gather()

    def _go_on(self) -> None:
        if self._stopping:
            raise _Stopping


def _outcome(error: Exception) -> str:
    """Why a version was not taken, in a word for the metrics."""
    if isinstance(error, _UNREACHED):
        return "unreachable"
    if isinstance(error, RegistryError) and not isinstance(error, Untrusted):
        return "damaged"
    return "refused" if isinstance(error, Untrusted | ServingError) else "fault"
