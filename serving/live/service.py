"""One loaded version, asked by many requests at once. No protocol here: checked requests in, answers out."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from tunewright.registry.versions.record import Version
from tunewright.serving.engines.engine import FileEngine, Row, RunEngine
from tunewright.serving.errors import DeadlineExceeded
from tunewright.serving.generation.sequences import Finish, OnText
from tunewright.serving.live.job import Job
from tunewright.serving.predictor import Predictor
from tunewright.serving.queue.admission import Load
from tunewright.serving.queue.engine_threads import FILES, TEXTS, EngineThreads
from tunewright.serving.queue.limits import check_files, check_texts
from tunewright.serving.queue.returns import Returns
from tunewright.serving.queue.work import Part, Work
from tunewright.serving.request.request import Request, Steps
from tunewright.serving.request.texts import characters
from tunewright.serving.runtime.capacity import available_cpus
from tunewright.serving.runtime.priority import give_way
from tunewright.serving.runtime.session import TimeLimit
from tunewright.serving.runtime.watchdog import WATCHDOG
from tunewright.serving.settings import Limits
from tunewright.serving.watch.feedback import Feedback
from tunewright.serving.watch.meters import Meters, Served
from tunewright.serving.watch.seen import Seen, now_seen

_GRACE_SECONDS = 1.0
"""A run stops itself at the deadline; this much later its request is given up even if it did not."""

Result = TypeVar("Result")


class _Abandoned(Exception):
    """The caller is gone, and with it the reason to go on writing."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an answer that was written piece by piece."""

    finish: Finish


class Service:
    """A predictor with the limits of this server around it."""

    def __init__(
        self,
        predictor: Predictor,
        version: Version,
        *,
        limits: Limits,
        threads: int = 0,
        meters: Meters | None = None,
        feedback: Feedback | None = None,
        report: Path | None = None,
    ) -> None:
        """`meters`: those of the process, where it has more to count than this. `feedback`: looks at the answers.
        `report`: the page of the run that made the version, where callers may see it."""
        self.report = report
        self.predictor = predictor
        self.version = version
        self.limits = limits
        self.shapes = predictor.task.shapes(predictor.model)
        self.body_bytes = limits.body_bytes or self.shapes.body_bytes
        """Largest body of a request."""
        self.served = Served(version.name, str(version.number), predictor.model.task, predictor.variant)
        """What is counted is counted of this."""
        self.meters = meters or Meters()
        self.meters.serves(self.served, digest=version.digest)
        self._feedback = feedback
        if feedback is not None:
            self.meters.drifts(self.served, feedback.features, feedback.drift)
        threads = threads or available_cpus()
        self._returns: Returns | None = None
        # Nothing below may refer to this: what refers to itself stays in memory until the collector stops everything.
        reads_files = isinstance(predictor.engine, FileEngine)
        self._weigh = partial(_weighed_files if reads_files else _weighed_texts, predictor, limits)
        self._rows = rows = self._engine_threads(predictor.engine, threads)
        self._load = Load(
            lambda: rows.rate if rows else 0.0,
            queue_seconds=limits.queue_seconds,
            deadline_seconds=limits.deadline_seconds,
        )
        # Those who write take steps together: each request has a thread that waits for its own.
        waiting = limits.requests if predictor.writes else threads
        self._workers = ThreadPoolExecutor(waiting, thread_name_prefix="service", initializer=give_way)

    def __str__(self) -> str:
        return f"{self.version}/{self.predictor.variant}"

    async def answer(
        self,
        request: Request,
        write: Callable[[list[object]], Result],
        *,
        seconds: float | None = None,
        caller: object = None,
    ) -> Result:
        """What `write` makes of the answers, one per input; a ServingError says why there is nothing.

        Both are made in a thread. A task that is cancelled takes its work with it: what waits is not begun, what runs
        for nobody ends. `seconds`: how long this caller waits, where that is less than the limit. `caller`: callers
        take turns; a request without one is a caller of its own.
        """
        if request.steps is not None:
            return await self._in_steps(request.inputs, request.steps, write, self._seconds(seconds), caller)
        if self._rows is None:
            return await self._answer_in_a_thread(request, write, self._seconds(seconds))
        returns = self._way_back()
        answered: asyncio.Future[object] = returns.loop.create_future()
        work = Work(
            request.inputs,
            request.parameters,
            cast(Callable[[list[object]], object], write),
            lambda outcome: returns.put(answered, outcome),
            caller,
            note=now_seen(),
            since=time.monotonic(),
            is_prepared=request.is_prepared,
        )
        seconds = self._seconds(seconds)

        def too_late() -> None:
            work.end(self._too_late(seconds))

        with self._load.taken([self._rows.estimate(one) for one in request.inputs]):
            WATCHDOG.watch(too_late, work.since + seconds)
            self._rows.put(work)
            try:
                return cast(Result, await answered)
            finally:
                WATCHDOG.let_go(too_late)
                work.give_up()

    async def stream(self, request: Request, *, seconds: float | None = None) -> AsyncGenerator[str | Ended]:
        """The pieces of the answer to the one input of a request, and its end.

        What is wrong with a request is raised before the first piece. A generator that is closed ends the writing.
        """
        loop, job = asyncio.get_running_loop(), Job(self._seconds(seconds))
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def on_text(piece: str) -> None:
            if job.is_given_up:
                raise _Abandoned
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def end(running: "asyncio.Future[Finish]") -> None:
            if not running.cancelled():
                running.exception()  # nobody may be left to ask for it
            pieces.put_nowait(None)

        running = loop.run_in_executor(self._workers, self._write, request, on_text, job)
        running.add_done_callback(end)
        try:
            while (piece := await self._next(pieces, job)) is not None:
                yield piece
            yield Ended(await running)
        finally:
            job.give_up()
            running.cancel()

    def close(self) -> None:
        """End the threads; what is being computed is finished first."""
        if self._rows is not None:
            self._rows.close()
        self._workers.shutdown(wait=True)
        if self._feedback is not None:
            self._feedback.close()
        self.predictor.close()

    def _engine_threads(self, engine: object, threads: int) -> EngineThreads | None:
        """Those of an engine whose rows can share runs."""
        if not isinstance(engine, RunEngine):
            return None
        return EngineThreads(
            engine,
            weigh=self._weigh,
            portions=FILES if isinstance(engine, FileEngine) else TEXTS,
            threads=threads,
            seconds=self.limits.deadline_seconds,
            seen=_Counted(self.meters, self.served, self._feedback),
        )

    def _way_back(self) -> Returns:
        loop = asyncio.get_running_loop()
        if self._returns is None or self._returns.loop is not loop:
            self._returns = Returns(loop)
        return self._returns

    def _seconds(self, asked: float | None) -> float:
        return self.limits.deadline_seconds if asked is None else min(asked, self.limits.deadline_seconds)

    async def _in_steps(
        self,
        inputs: Sequence[object],
        steps: Callable[[object], Steps],
        write: Callable[[list[object]], Result],
        seconds: float,
        caller: object,
    ) -> Result:
        """The same where each input takes rows in several goes, which wait as those of a large request."""
        found: list[object] = []
        caller = caller or object()  # all goes are of one caller
        try:
            async with asyncio.timeout(seconds):
                await asyncio.to_thread(self._weigh, inputs)
                for one in inputs:
                    found.append(await self._through_steps(steps(one), seconds, caller))
                return await asyncio.to_thread(write, found)
        except TimeoutError:
            raise self._too_late(seconds) from None

    async def _through_steps(self, steps: Steps, seconds: float, caller: object) -> object:
        outputs: object = None
        while True:
            rows, result = await asyncio.to_thread(_next_step, steps, outputs)
            if rows is None:
                return result
            go = Request(rows, None, is_prepared=True)
            outputs = await self.answer(go, list, seconds=seconds, caller=caller)

    async def _answer_in_a_thread(
        self, request: Request, write: Callable[[list[object]], Result], seconds: float
    ) -> Result:
        job = Job(seconds)
        in_thread = asyncio.get_running_loop().run_in_executor
        try:
            async with asyncio.timeout(seconds + _GRACE_SECONDS):
                return await in_thread(self._workers, lambda: write(self._answers(request, job)))
        except TimeoutError:
            raise self._too_late(seconds) from None
        finally:
            job.give_up()

    async def _next(self, pieces: "asyncio.Queue[str | None]", job: Job) -> str | None:
        try:
            async with asyncio.timeout(job.deadline + _GRACE_SECONDS - time.monotonic()):
                return await pieces.get()
        except TimeoutError:
            raise self._too_late(job.seconds) from None

    def _answers(self, request: Request, job: Job) -> list[object]:
        """One answer per input, of which JSON can be made."""
        return self._answered(
            request, job, lambda rows, limit: self.predictor.answers(rows, request.parameters, limit=limit)
        )

    def _write(self, request: Request, on_text: OnText, job: Job) -> Finish:
        """The answer to the one input of a request, piece by piece."""
        return self._answered(request, job, lambda rows, limit: self.predictor.stream(rows[0], on_text, limit=limit))

    def _answered(self, request: Request, job: Job, answer: Callable[[Sequence[Row], TimeLimit], Result]) -> Result:
        """Check and prepare the inputs and answer them, before the deadline."""
        self._weigh(request.inputs)
        try:
            with job.limit() as limit:
                with self.meters.tokenizing(self.served):
                    rows = self.predictor.prepare(request.inputs, request.parameters, limit=limit)
                with self.meters.inferring(self.served):
                    result = answer(rows, limit)
        except DeadlineExceeded as error:
            raise self._too_late(job.seconds) from error
        self.meters.computed(self.served, texts=len(rows), truncated=sum(row.truncated for row in rows))
        if self._feedback is not None:
            answers = result if isinstance(result, list) else [None] * len(rows)
            for row, one in zip(rows, answers, strict=True):
                self._feedback.count(row, one)
            self._feedback.sample(request.inputs, answers)
        return result

    def _too_late(self, seconds: float) -> DeadlineExceeded:
        if seconds < self.limits.deadline_seconds:
            return DeadlineExceeded(
                f"no answer within {seconds:g} s, which is all that the request allows (X-Request-Timeout-Ms)"
            )
        return DeadlineExceeded(
            f"no answer within {seconds:g} s: the server is busy or the request is too heavy "
            "(SERVING_LIMITS__DEADLINE_SECONDS)"
        )


def _weighed_texts(predictor: Predictor, limits: Limits, inputs: Sequence[object]) -> Sequence[int]:
    """How much it takes to prepare each input; TooLarge for what is over the limits of this server."""
    check_texts(inputs, limits)
    return [characters(one) for one in inputs]


def _weighed_files(predictor: Predictor, limits: Limits, inputs: Sequence[object]) -> Sequence[int]:
    """The same of files: their headers are looked at, up to the first that is too much, before any is decoded."""
    check_texts(inputs, limits)
    return check_files(predictor.unfolded(inputs), limits)


def _next_step(steps: Steps, outputs: Any) -> tuple[Sequence[object] | None, object]:
    """The rows that are wanted next, or what has come of all."""
    try:
        return steps.send(outputs), None
    except StopIteration as done:  # no task can end with it
        return None, done.value


@dataclass(frozen=True, slots=True)
class _Counted:
    """Counts what engine threads do."""

    meters: Meters
    served: Served
    feedback: Feedback | None

    def preparing(self) -> AbstractContextManager[object]:
        return self.meters.tokenizing(self.served)

    def running(self, parts: Sequence[Part]) -> AbstractContextManager[object]:
        now, sizes = time.monotonic(), [part.size for part in parts]
        for part in parts:
            self.meters.queued(self.served, now - part.since)
        self.meters.ran(self.served, rows=len(parts), tokens=sum(sizes), padded=len(parts) * max(sizes))
        return self.meters.inferring(self.served)

    def answered_row(self, work: Work, row: object, answer: object) -> None:
        if self.feedback is not None and not work.is_prepared:
            self.feedback.count(row, answer)

    def answered(self, work: Work) -> None:
        if work.is_prepared:  # a part of something
            return
        if isinstance(work.note, Seen) and work.run_since:
            work.note.waited(work.since, work.run_since)
            work.note.ran(work.run_since, time.monotonic())
        self.meters.computed(self.served, texts=len(work.inputs), truncated=work.truncated)
        if self.feedback is not None:
            self.feedback.sample(work.inputs, work.answers)
