"""Threads that take work themselves: rows of all requests, prepared, run together and answered."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from tunewright.serving.engines.engine import RunEngine
from tunewright.serving.queue.order import Order
from tunewright.serving.queue.work import Gathered, Part, Run, Work
from tunewright.serving.runtime.priority import give_way
from tunewright.serving.runtime.runs import is_finite, not_finite
from tunewright.serving.runtime.session import Array, TimeLimit

_INPUTS_OF_A_TURN = 32
"""Of a large request, unless they are heavy."""
_PATIENCE = 0.25
"""Share of the deadline that a run of several requests may take; then each of them runs alone."""
_WEIGHT = 0.1
"""Share of the newest run in the moving average of the rate."""

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Portions:
    """How much is done in one go, by the weights of inputs."""

    requests: int
    """Small requests that one thread begins before it runs something."""
    inputs: int
    """Inputs of one request that are prepared by one call."""
    prepared: int
    """What of a large request is prepared in one turn."""
    small: int
    """What a small request has at most."""


TEXTS = Portions(requests=16, inputs=32, prepared=16 << 10, small=4 << 10)
"""Weights are characters: a few milliseconds to prepare, a tenth of a second to run."""
FILES = Portions(requests=1, inputs=1, prepared=8 << 20, small=8 << 20)
"""Weights are the bytes that a file unfolds into."""


class Seen(Protocol):
    """Who is told of what the threads do."""

    def preparing(self) -> AbstractContextManager[object]:
        """While inputs are prepared."""

    def running(self, parts: Sequence[Part]) -> AbstractContextManager[object]:
        """While these go through the graph."""

    def answered_row(self, work: Work, row: object, answer: object) -> None:
        """One of its answers is there."""

    def answered(self, work: Work) -> None:
        """All of them are."""


class EngineThreads:
    """One thread for each run at a time, and a spare one, which takes small requests while large ones hold all others.

    The spare one shares the processors with the others: a small request waits for its share of time, not for a run.
    """

    def __init__(
        self,
        engine: RunEngine[Any, Any, Any, Any],
        *,
        weigh: Callable[[Sequence[object]], Sequence[int]],
        portions: Portions,
        threads: int,
        seconds: float,
        seen: Seen,
    ) -> None:
        """`weigh`: how much it takes to prepare each input; TooLarge. `seconds`: how long a request may take."""
        self._engine, self._weigh, self._portions, self._seen = engine, weigh, portions, seen
        self._count, self._patience = threads, seconds * _PATIENCE
        self._arrived: deque[Work] = deque()
        self._order = Order()
        self._lock = threading.Lock()
        self._work_is_there, self._spare_is_wanted = threading.Condition(self._lock), threading.Condition(self._lock)
        self._idle = self._large = 0
        """Threads that wait, and threads that work for large requests, the spare one in neither."""
        self._is_closing = False
        self._size_per_second = 0.0
        """What one thread has lately run."""
        self._threads = [
            threading.Thread(target=self._serve, args=(number == threads,), name=f"engine-{number}", daemon=True)
            for number in range(threads + 1)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def rate(self) -> float:
        """Sizes that all of them have lately run in a second; 0 before the first run."""
        return self._size_per_second * self._count

    def estimate(self, one: object) -> int:
        """The size that an input will probably have."""
        return self._engine.estimate(one)

    def put(self, work: Work) -> None:
        """To be begun as soon as a thread is free. It takes no lock while all are busy: the event loop calls it."""
        self._arrived.append(work)
        if self._idle:
            with self._lock:
                self._work_is_there.notify()
        elif self._large >= self._count:
            with self._lock:
                self._spare_is_wanted.notify()

    def close(self) -> None:
        """End the threads; what has arrived is finished first."""
        with self._lock:
            self._is_closing = True
            self._work_is_there.notify_all()
            self._spare_is_wanted.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self, is_spare: bool) -> None:
        give_way()
        while (taken := self._take_spare() if is_spare else self._take()) is not None:
            step, is_large = taken
            step()
            if is_large:
                with self._lock:
                    self._large -= 1

    def _take(self) -> tuple[Step, bool] | None:
        """What to do next, and whether it is for a large request; None at the end."""
        with self._lock:
            while True:
                if (found := self._next_step()) is not None:
                    step, is_large = found
                    self._large += is_large
                    self._wake_others()
                    return step, is_large
                if self._is_closing:
                    return None
                self._idle += 1
                # Once more, now that whoever puts something sees that a thread waits.
                if not self._arrived:
                    self._work_is_there.wait()
                self._idle -= 1

    def _take_spare(self) -> tuple[Step, bool] | None:
        with self._lock:
            while not self._is_closing:
                if self._large >= self._count and (found := self._next_step(only_small=True)) is not None:
                    return found[0], False
                self._spare_is_wanted.wait()
        return None

    def _wake_others(self) -> None:
        if not (self._arrived or self._order):
            return
        if self._idle:
            self._work_is_there.notify()
        elif self._large >= self._count and (self._arrived or self._order.has_small()):
            self._spare_is_wanted.notify()

    def _next_step(self, *, only_small: bool = False) -> tuple[Step, bool] | None:
        """Begin what has arrived; else the turn of a request: some of its inputs, or a run."""
        if self._arrived:
            share = len(self._arrived) // (self._idle + 1)
            works = [self._arrived.popleft() for _ in range(max(1, min(share, self._portions.requests)))]
            return partial(self._begin, works), False
        if (work := self._order.take(only_small=only_small)) is None:
            return None
        if work.waiting:
            return partial(self._run, self._formed(work)), work.is_large
        start, work.begun = work.begun, self._end_of_slice(work)
        slice_of = partial(self._go_on, work, start, work.begun)
        self._order.append(work)
        return slice_of, work.is_large

    def _end_of_slice(self, work: Work) -> int:
        """Up to which input it is prepared in one turn."""
        weight, stop = 0, work.begun
        while stop < min(len(work.inputs), work.begun + _INPUTS_OF_A_TURN):
            weight += work.weights[stop]
            if weight > self._portions.prepared and stop > work.begun:
                break
            stop += 1
        return stop

    def _begin(self, works: Sequence[Work]) -> None:
        """Weigh each request; a small one is prepared at once, and run where nobody else waits."""
        prepared: list[Gathered] = []
        for work in works:
            if work.is_over:
                continue
            try:
                work.weights = [0] * len(work.inputs) if work.is_prepared else self._weigh(work.inputs)
                work.is_large = work.is_prepared or sum(work.weights) > self._portions.small
                if not work.is_large:
                    work.begun = len(work.inputs)
                    prepared += self._prepared(work, 0, work.begun)
            except Exception as error:
                work.end(error)
        with self._lock:
            self._let_wait(prepared)
            if len(works) == 1 and works[0].waiting and not (works[0].is_over or self._arrived or self._order):
                run = self._formed(works[0])
                self._wake_others()
            else:
                run = []
                for work in works:
                    self._order.append(work)
        self._answer([row for row in prepared if not row.contents])
        self._run(run)

    def _go_on(self, work: Work, start: int, stop: int) -> None:
        """Prepare the inputs of one turn, and run."""
        try:
            prepared = self._prepared(work, start, stop)
        except Exception as error:
            work.end(error)
            return
        with self._lock:
            self._let_wait(prepared)
            run = self._formed(work) if work.waiting and not work.is_over else []
        self._answer([row for row in prepared if not row.contents])
        self._run(run)

    def _prepared(self, work: Work, start: int, stop: int) -> list[Gathered]:
        if work.is_prepared:
            return [self._gathered(work, number, row) for number, row in enumerate(work.inputs[start:stop], start)]
        rows: list[Any] = []
        with self._seen.preparing():
            for first in range(start, stop, self._portions.inputs):
                inputs = work.inputs[first : min(first + self._portions.inputs, stop)]
                rows += self._engine.prepare(inputs, work.parameters, first=first)
        return [self._gathered(work, number, row) for number, row in enumerate(rows, start)]

    def _gathered(self, work: Work, number: int, row: Any) -> Gathered:
        contents = self._engine.parts(row)
        return Gathered(work, number, row, contents, [None] * len(contents), len(contents))

    def _let_wait(self, prepared: Sequence[Gathered]) -> None:
        """Their parts wait from now on."""
        now = time.monotonic()
        for row in prepared:
            row.work.truncated += row.row.truncated
            for place, content in enumerate(row.contents):
                row.work.waiting.append(Part(row, place, content, self._engine.size(content), now))

    def _formed(self, work: Work) -> list[Part]:
        """A run whose first part is this request's; the request is last then."""
        first = work.waiting.popleft()
        self._order.append(work)
        most = self._engine.run_size
        if self._idle and most:
            # Threads that wait shall have their share.
            shared = (first.size + self._order.waiting(is_large=work.is_large)) // (self._idle + 1)
            most = min(most, max(shared, first.size))
        return self._order.fill(first, most)

    def _run(self, parts: Sequence[Part]) -> None:
        parts = [part for part in parts if not part.work.is_over]
        if not parts:
            return
        works = {part.work for part in parts}
        run = Run(parts, TimeLimit(self._patience))
        for work in works:
            work.runs.append(run)
        # Whoever was given up before its run was known.
        run.end_if_for_nobody()
        try:
            outputs = self._outputs(run, is_shared=len(works) > 1)
        except Exception as error:
            self._failed(parts, works, error)
            return
        finally:
            for work in works:
                work.runs.remove(run)
        self._take_in(parts, works, outputs)

    def _outputs(self, run: Run, *, is_shared: bool) -> Sequence[Array]:
        contents = [part.content for part in run.parts]
        started = time.monotonic()
        for part in run.parts:
            part.work.run_since = part.work.run_since or started
        with self._seen.running(run.parts), run.limit if is_shared else nullcontext():
            outputs = self._engine.run_once(contents, limit=run.limit)
        took = time.monotonic() - started
        rate = sum(part.size for part in run.parts) / max(took, 1e-6)
        self._size_per_second += (_WEIGHT if self._size_per_second else 1.0) * (rate - self._size_per_second)
        return outputs

    def _failed(self, parts: Sequence[Part], works: set[Work], error: Exception) -> None:
        """A request that has run alone fails; several that have shared a run do not fail for one another."""
        if len(works) > 1:
            self._alone(parts)
            return
        for work in works:
            work.end(error)

    def _alone(self, parts: Sequence[Part]) -> None:
        with self._lock:
            for part in parts:
                part.is_alone = True
                part.work.waiting.appendleft(part)
                self._order.append(part.work)

    def _take_in(self, parts: Sequence[Part], works: set[Work], outputs: Sequence[Array]) -> None:
        """The outputs of a run. Of what is no number no answer can be made: it may be the doing of another row."""
        are_fine = [is_finite(output) for output in outputs]
        broken = [part for part, is_fine in zip(parts, are_fine, strict=True) if not is_fine]
        if broken:
            self._failed(broken, works, not_finite())
        complete = []
        with self._lock:
            for part, output, is_fine in zip(parts, outputs, are_fine, strict=True):
                if is_fine:
                    part.of.outputs[part.place] = output
                    part.of.missing -= 1
                    if not part.of.missing:
                        complete.append(part.of)
        self._answer(complete)

    def _answer(self, rows: Sequence[Gathered]) -> None:
        """Answer the rows of which everything is there, and hand back what is answered whole."""
        answered: list[Work] = []
        for gathered in rows:
            work = gathered.work
            if work.is_over:
                continue
            try:
                output = self._engine.joined(gathered.row, gathered.outputs)
                answer = output if work.is_prepared else self._engine.answer(gathered.row, output, work.parameters)
                work.answers[gathered.number] = answer
                self._seen.answered_row(work, gathered.row, answer)
            except Exception as error:
                work.end(error)
            answered.append(work)
        whole = []
        with self._lock:
            for work in answered:
                work.missing -= 1
                if not work.missing:
                    whole.append(work)
        for work in whole:
            if not work.is_over:
                self._hand_back(work)

    def _hand_back(self, work: Work) -> None:
        try:
            written = work.write(work.answers)
            self._seen.answered(work)
        except Exception as error:
            work.end(error)
        else:
            work.end(written)
