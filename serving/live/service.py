"""One loaded version, asked by many requests at once. No HTTP here: bytes of JSON in, bytes of JSON out."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from tunewright.registry.versions.record import Version
from tunewright.serving.engines.engine import Row
from tunewright.serving.errors import DeadlineExceeded, InputError, TooLarge
from tunewright.serving.generation.written import Finish, OnText
from tunewright.serving.predictor import Predictor
from tunewright.serving.queue.admission import Admission
from tunewright.serving.queue.bodies import Room
from tunewright.serving.request.texts import longest_text, read_request
from tunewright.serving.runtime.capacity import available_cpus
from tunewright.serving.runtime.session import TimeLimit
from tunewright.serving.settings import Limits
from tunewright.serving.watch.meters import Meters

_GRACE_SECONDS = 1.0
"""A run stops itself at the deadline; this much later its request is given up even if it did not."""

Result = TypeVar("Result")


class _Abandoned(Exception):
    """The caller is gone, and with it the reason to go on writing."""


class _Job:
    """The work for one request: by when it must be done, and whether anybody still waits for it."""

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self._limit: TimeLimit | None = None
        self.is_given_up = False

    def give_up(self) -> None:
        """End what is being computed, and begin nothing more. To be called from any thread."""
        self.is_given_up = True
        if self._limit is not None:
            self._limit.end()

    @contextmanager
    def limit(self) -> Iterator[TimeLimit]:
        """The time that is left; DeadlineExceeded when there is none."""
        seconds = self.deadline - time.monotonic()
        if seconds <= 0 or self.is_given_up:
            raise DeadlineExceeded("the time of this request is over")
        with TimeLimit(seconds) as limit:
            self._limit = limit
            if self.is_given_up:
                limit.end()
            yield limit


class Service:
    """A predictor with the limits of this server around it."""

    def __init__(self, predictor: Predictor, version: Version, *, limits: Limits, threads: int = 0) -> None:
        self.predictor = predictor
        self.version = version
        self.limits = limits
        self.draining = False
        """Set once the server is about to stop: it still answers, but is no longer ready for more."""
        self.metrics_port: int | None = None
        """Where the metrics are, and nothing else is; None: beside everything else."""
        self.admission = Admission(limits.requests)
        self.room = Room(limits.bodies_bytes)
        self.meters = Meters(
            model=version.name,
            version=str(version.number),
            task=predictor.model.task,
            variant=predictor.variant,
            digest=version.digest,
        )
        self.meters.in_flight.set_function(lambda: self.admission.in_flight)
        self.meters.bodies_bytes.set_function(lambda: self.room.taken)
        self._task = predictor.task
        shapes = self._task.shapes(predictor.model)
        self._beside = shapes.beside
        self.body_bytes = limits.body_bytes or shapes.body_bytes
        """Largest body of a request."""
        self._workers = ThreadPoolExecutor(threads or available_cpus(), thread_name_prefix="service")

    def __str__(self) -> str:
        return f"{self.version}/{self.predictor.variant}"

    async def answer(self, body: bytes) -> bytes:
        """The JSON answer to the JSON body of a request; a ServingError says why there is none.

        A task that is cancelled takes its work with it: what waits is not begun, what runs ends.
        """
        job = _Job(self.limits.deadline_seconds)
        work = asyncio.get_running_loop().run_in_executor(self._workers, self._answer, body, job)
        try:
            async with asyncio.timeout(self.limits.deadline_seconds + _GRACE_SECONDS):
                return await work
        except TimeoutError:
            raise self._too_late() from None
        finally:
            job.give_up()

    async def stream(self, body: bytes) -> AsyncGenerator[dict[str, str]]:
        """The answer to one input while it is written: `{"text"}` for each piece, `{"finish"}` at the end.

        What is wrong with a request is raised before the first piece. A generator that is closed ends the writing.
        """
        loop, job = asyncio.get_running_loop(), _Job(self.limits.deadline_seconds)
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def on_text(piece: str) -> None:
            if job.is_given_up:
                raise _Abandoned
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def end(work: "asyncio.Future[Finish]") -> None:
            if not work.cancelled():
                work.exception()  # nobody may be left to ask for it
            pieces.put_nowait(None)

        work = loop.run_in_executor(self._workers, self._write, body, on_text, job)
        work.add_done_callback(end)
        try:
            while (piece := await self._next(pieces, job.deadline)) is not None:
                yield {"text": piece}
            yield {"finish": await work}
        finally:
            job.give_up()
            work.cancel()

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

    def _answer(self, body: bytes, job: _Job) -> bytes:
        inputs, are_many, wanted = self._read(body)
        answers = self._run(inputs, wanted, job, lambda rows, limit: self.predictor.answers(rows, wanted, limit=limit))
        return to_json(answers if are_many else answers[0])

    def _write(self, body: bytes, on_text: OnText, job: _Job) -> Finish:
        inputs, are_many, wanted = self._read(body)
        if are_many:
            raise InputError("'inputs' is a list; one answer is streamed at a time: send one input")
        return self._run(inputs, wanted, job, lambda rows, limit: self.predictor.stream(rows[0], on_text, limit=limit))

    def _read(self, body: bytes) -> tuple[list[Any], bool, Any]:
        """The inputs of a request, whether they came as a list, and its parameters."""
        request = read_request(body, beside=self._beside)
        wanted = self._task.read_parameters(request.parameters, self.predictor.model)
        inputs, are_many = self._task.read_inputs(request.inputs, self.predictor.model)
        self._check_size(inputs)
        return inputs, are_many, wanted

    def _run(
        self, inputs: list[Any], wanted: Any, job: _Job, work: Callable[[Sequence[Row], TimeLimit], Result]
    ) -> Result:
        """Prepare the inputs and work on them, before the deadline."""
        try:
            with job.limit() as limit:
                with self.meters.tokenize_seconds.time():
                    rows = self.predictor.prepare(inputs, wanted, limit=limit)
                with self.meters.inference_seconds.time():
                    result = work(rows, limit)
        except DeadlineExceeded as error:
            raise self._too_late() from error
        self.meters.texts.inc(len(inputs))
        self.meters.truncated.inc(sum(row.truncated for row in rows))
        return result

    def _check_size(self, inputs: list[Any]) -> None:
        if len(inputs) > self.limits.inputs:
            raise TooLarge(
                f"'inputs' has {len(inputs)} items; this server takes at most {self.limits.inputs} in one request "
                "(SERVING_LIMITS__INPUTS)"
            )
        if (longest := longest_text(inputs)) > self.limits.characters:
            raise TooLarge(
                f"a text has {longest} characters; this server takes at most {self.limits.characters} "
                "(SERVING_LIMITS__CHARACTERS)"
            )
        self._check_unfolded(inputs)

    def _check_unfolded(self, inputs: list[Any]) -> None:
        """Look at the headers of the files, up to the first that is too much, before any file is decoded."""
        most, total = self.limits.media_bytes, 0
        for number, size in enumerate(self.predictor.unfolded(inputs)):
            total += size
            if size > most // 4:
                raise TooLarge(
                    f"input {number}: the file unfolds into {size:,} bytes; this server takes at most {most // 4:,} "
                    "from one file, a quarter of SERVING_LIMITS__MEDIA_BYTES"
                )
            if total > most:
                raise TooLarge(
                    f"the first {number + 1} files of this request unfold into {total:,} bytes; this server takes at "
                    f"most {most:,} in one request (SERVING_LIMITS__MEDIA_BYTES); send fewer or smaller files"
                )

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"no answer within {self.limits.deadline_seconds:g} s: the server is busy or the request is too heavy "
            "(SERVING_LIMITS__DEADLINE_SECONDS)"
        )


def to_json(content: Any) -> bytes:
    """Compact UTF-8 JSON; a number that JSON does not have is a ValueError, never written."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
