"""One loaded version, asked by many requests at once. No protocol here: checked requests in, answers out."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tunewright.registry.versions.record import Version
from tunewright.serving.engines.engine import Row
from tunewright.serving.errors import DeadlineExceeded
from tunewright.serving.generation.sequences import Finish, OnText
from tunewright.serving.live.job import Job
from tunewright.serving.predictor import Predictor
from tunewright.serving.queue.limits import check_files, check_texts
from tunewright.serving.request.request import Request
from tunewright.serving.runtime.capacity import available_cpus
from tunewright.serving.runtime.session import TimeLimit
from tunewright.serving.settings import Limits
from tunewright.serving.watch.meters import Meters, Served

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
        self, predictor: Predictor, version: Version, *, limits: Limits, threads: int = 0, meters: Meters | None = None
    ) -> None:
        """`meters`: those of the process, where it has more to count than this."""
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
        self._workers = ThreadPoolExecutor(threads or available_cpus(), thread_name_prefix="service")

    def __str__(self) -> str:
        return f"{self.version}/{self.predictor.variant}"

    async def answer(self, request: Request, write: Callable[[list[object]], Result]) -> Result:
        """What `write` makes of the answers, one per input; a ServingError says why there is nothing.

        Both are made in a thread. A task that is cancelled takes its work with it: what waits is not begun, what runs
        ends.
        """
        job = Job(self.limits.deadline_seconds)
        in_thread = asyncio.get_running_loop().run_in_executor
        try:
            async with asyncio.timeout(self.limits.deadline_seconds + _GRACE_SECONDS):
                return await in_thread(self._workers, lambda: write(self._answers(request, job)))
        except TimeoutError:
            raise self._too_late() from None
        finally:
            job.give_up()

    async def stream(self, request: Request) -> AsyncGenerator[str | Ended]:
        """The pieces of the answer to the one input of a request, and its end.

        What is wrong with a request is raised before the first piece. A generator that is closed ends the writing.
        """
        loop, job = asyncio.get_running_loop(), Job(self.limits.deadline_seconds)
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
            while (piece := await self._next(pieces, job.deadline)) is not None:
                yield piece
            yield Ended(await running)
        finally:
            job.give_up()
            running.cancel()

    def close(self) -> None:
        """End the threads; what is being computed is finished first."""
        self._workers.shutdown(wait=True)
        self.predictor.close()

    async def _next(self, pieces: "asyncio.Queue[str | None]", deadline: float) -> str | None:
        try:
            async with asyncio.timeout(deadline + _GRACE_SECONDS - time.monotonic()):
                return await pieces.get()
        except TimeoutError:
            raise self._too_late() from None

    def _check(self, request: Request) -> None:
        """TooLarge for what is over the limits of this server."""
        check_texts(request.inputs, self.limits)
        # The headers of the files are looked at, up to the first that is too much, before any file is decoded.
        check_files(self.predictor.unfolded(request.inputs), self.limits)

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
        self._check(request)
        try:
            with job.limit() as limit:
                with self.meters.tokenizing(self.served):
                    rows = self.predictor.prepare(request.inputs, request.parameters, limit=limit)
                with self.meters.inferring(self.served):
                    result = answer(rows, limit)
        except DeadlineExceeded as error:
            raise self._too_late() from error
        self.meters.computed(self.served, texts=len(rows), truncated=sum(row.truncated for row in rows))
        return result

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"no answer within {self.limits.deadline_seconds:g} s: the server is busy or the request is too heavy "
            "(SERVING_LIMITS__DEADLINE_SECONDS)"
        )
