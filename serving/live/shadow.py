"""Asks a second version what a first one was asked, in spare time, and keeps count of where they differ.

The caller has the answer of the first one by then. Questions wait in a queue that is short, one is asked at a time, and
none while the server is busy: what cannot wait is dropped.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tunewright.serving.errors import NotLoaded
from tunewright.serving.live.agreement import agree, digest, kept
from tunewright.serving.live.service import Service
from tunewright.serving.live.slot import Slot
from tunewright.serving.runtime.capacity import available_cpus
from tunewright.serving.watch.meters import Meters

_MOST_WAITING = 64
_PATIENCE_SECONDS = 5.0
"""As long a question waits for the server to have time for it."""
_STEP_SECONDS = 0.02
_EXAMPLES = 20
"""Differences that are kept: the latest."""

Again = Callable[[Service], Awaitable[list[object]]]
"""Asks another service what was asked."""
Told = Callable[[bool], None]


@dataclass(slots=True)
class Comparison:
    """What has come of asking two versions the same."""

    texts: bool
    """Whether inputs and written answers are kept with the examples; their digests are in any case."""
    told: Told = lambda agrees: None
    """Is told of each answer whether both agree."""
    compared: int = 0
    differed: int = 0
    dropped: int = 0
    """Questions for which there was no time."""
    failed: int = 0
    """Questions that only the first version could answer."""
    examples: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=_EXAMPLES))

    def begins(self) -> None:
        """Another version is compared from now on."""
        self.compared = self.differed = self.dropped = self.failed = 0
        self.examples.clear()

    def status(self) -> dict[str, object]:
        """What there is to say of it, of which JSON can be made."""
        return {
            "compared": self.compared,
            "disagreement": round(self.differed / self.compared, 4) if self.compared else None,
            "dropped": self.dropped,
            "failed": self.failed,
            "examples": list(self.examples),
        }


@dataclass(slots=True)
class Shadow:
    """A version that is asked what the one is asked that answers, and answers nobody."""

    slot: Slot
    percent: float
    """Of the requests."""
    comparison: Comparison

    def status(self) -> dict[str, object]:
        """What there is to say of it, of which JSON can be made."""
        return self.slot.status() | {"percent": self.percent} | self.comparison.status()


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked and answered, to be asked of another version."""

    inputs: Sequence[object]
    service: Service
    answers: list[object]
    other: Service
    again: Again
    comparison: Comparison
    since: float = field(default_factory=time.monotonic)


class Mirror:
    """The questions of a process that wait for spare time. To be used from one thread, that of the event loop."""

    def __init__(self, meters: Meters, busy: Callable[[], int]) -> None:
        """`busy`: how many requests are being answered."""
        self._meters, self._busy = meters, busy
        self._quiet = available_cpus()
        """With fewer requests than this there is a processor to spare."""
        self._waiting: deque[Question] = deque()
        self._task: asyncio.Task[None] | None = None

    def offer(self, question: Question) -> None:
        """Ask it when there is time; never waits."""
        if len(self._waiting) >= _MOST_WAITING:
            question.comparison.dropped += 1
            return
        self._waiting.append(question)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            question = self._waiting.popleft()
            if not await self._has_time(question):
                question.comparison.dropped += 1
                continue
            try:
                self._compare(question, await question.again(question.other))
            except NotLoaded:  # it has been replaced meanwhile
                question.comparison.dropped += 1
            except Exception:
                # Whatever it is, it is not the caller's, and the figure tells that there is something.
                question.comparison.failed += 1

    async def _has_time(self, question: Question) -> bool:
        while self._busy() >= self._quiet:
            if time.monotonic() - question.since > _PATIENCE_SECONDS:
                return False
            await asyncio.sleep(_STEP_SECONDS)
        return True

    def _compare(self, question: Question, answers: list[object]) -> None:
        comparison, predictor = question.comparison, question.service.predictor
        for text, mine, theirs in zip(question.inputs, question.answers, answers, strict=True):
            agrees = agree(mine, theirs, predictor)
            comparison.compared += 1
            comparison.told(agrees)
            self._meters.shadowed(question.other.served, agrees=agrees)
            if not agrees:
                comparison.differed += 1
                comparison.examples.append(
                    {
                        "id": digest(repr(text).encode()),
                        str(question.service.version): kept(mine, predictor, texts=comparison.texts),
                        str(question.other.version): kept(theirs, question.other.predictor, texts=comparison.texts),
                    }
                    | ({"input": repr(text)} if comparison.texts else {})
                )
