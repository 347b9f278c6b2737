"""One loaded version, asked by many requests at once. No HTTP here: bytes of JSON in, bytes of JSON out."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from registry.record import Version
from serving.admission import Admission
from serving.errors import DeadlineExceeded, TooLarge
from serving.meters import Meters
from serving.predictor import Predictor
from serving.request import longest_text, read_request
from serving.session import TimeLimit, available_cpus
from serving.settings import Limits
from serving.tasks import TASKS

_GRACE_SECONDS = 1.0
"""A run stops itself at the deadline; this much later its request is given up even if it did not."""


class Service:
    """A predictor with the limits of this server around it."""

    def __init__(self, predictor: Predictor, version: Version, *, limits: Limits, threads: int = 0) -> None:
        self.predictor = predictor
        self.version = version
        self.limits = limits
        self.draining = False
        """Set once the server is about to stop: it still answers, but is no longer ready for more."""
        self.admission = Admission(limits.requests)
        self.meters = Meters(
            model=version.name,
            version=str(version.number),
            task=predictor.model.task,
            variant=predictor.variant,
            digest=version.digest,
        )
        self.meters.in_flight.set_function(lambda: self.admission.in_flight)
        self._task = TASKS[predictor.model.task]
        self._workers = ThreadPoolExecutor(threads or available_cpus(), thread_name_prefix="service")

    def __str__(self) -> str:
        return f"{self.version}/{self.predictor.variant}"

    async def answer(self, body: bytes) -> bytes:
        """The JSON answer to the JSON body of a request; a ServingError says why there is none."""
        seconds = self.limits.deadline_seconds
        work = asyncio.get_running_loop().run_in_executor(self._workers, self._answer, body, time.monotonic() + seconds)
        try:
            async with asyncio.timeout(seconds + _GRACE_SECONDS):
                return await work
        except TimeoutError:
            raise self._too_late() from None

    def close(self) -> None:
        """End the threads; what is being computed is finished first."""
        self._workers.shutdown(wait=True)
        self.predictor.close()

    def _answer(self, body: bytes, deadline: float) -> bytes:
        request = read_request(body)
        wanted = self._task.read_parameters(request.parameters, self.predictor.model)
        inputs, are_many = self._task.read_inputs(request.inputs, self.predictor.model)
        self._check_size(inputs)
        answers = self._run(inputs, wanted, deadline - time.monotonic())
        return to_json(answers if are_many else answers[0])

    def _run(self, inputs: list[Any], wanted: Any, seconds: float) -> list[Any]:
        if seconds <= 0:
            raise self._too_late()
        with TimeLimit(seconds) as limit:
            with self.meters.tokenize_seconds.time():
                rows = self.predictor.prepare(inputs, wanted)
            with self.meters.inference_seconds.time():
                answers = self.predictor.answers(rows, wanted, limit=limit)
        self.meters.texts.inc(len(inputs))
        self.meters.truncated.inc(sum(row.truncated for row in rows))
        return answers

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

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"no answer within {self.limits.deadline_seconds:g} s: the server is busy or the request is too heavy "
            "(SERVING_LIMITS__DEADLINE_SECONDS)"
        )


def to_json(content: Any) -> bytes:
    """Compact UTF-8 JSON; a number that JSON does not have is a ValueError, never written."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
