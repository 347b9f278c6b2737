"""One request in the queue: what of it waits, what runs, and what is answered."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunewright.serving.runtime.session import TimeLimit


@dataclass(slots=True, eq=False)
class Work:
    """A request. Its inputs are prepared some at a time, so that none holds a thread to its end."""

    inputs: Sequence[object]
    parameters: object
    write: Callable[[list[object]], object]
    """The answers, one per input, to what is handed back. Called in an engine thread."""
    done: Callable[[object], None]
    """Told once how it ended, from any thread: with what was written, or an exception."""
    caller: object = None
    """Whose it is: callers take turns. None: nobody else's."""
    note: object = None
    """Whatever those who are told of it want to find there."""
    since: float = 0.0
    """When it arrived, by `time.monotonic`."""
    run_since: float = 0.0
    """When its first run began; 0 before."""
    is_prepared: bool = False
    """Whether the inputs are rows already, and what the model gives for them is wanted as it is."""
    is_large: bool = False
    """Whether it is more than a run or two: such requests share runs among themselves only."""
    is_over: bool = False
    """Answered, failed or given up: nothing more is begun for it."""
    is_in_order: bool = False
    """Whether its turn will come."""
    weights: Sequence[int] = ()
    """How much it takes to prepare each input."""
    begun: int = 0
    """Inputs that are prepared, or being prepared."""
    waiting: "deque[Part]" = field(default_factory=deque)
    """What is prepared and waits for a run."""
    runs: "list[Run]" = field(default_factory=list)
    """Runs that something of it is in."""
    answers: list[object] = field(default_factory=list)
    missing: int = 0
    """Answers that are not there yet."""
    truncated: int = 0
    """Inputs of which a part was left out."""

    def __post_init__(self) -> None:
        self.answers = [None] * len(self.inputs)
        self.missing = len(self.inputs)
        # Not the request itself: what refers to itself stays until the collector stops everything to look for it.
        self.caller = object() if self.caller is None else self.caller

    @property
    def wants_a_turn(self) -> bool:
        """Whether there is something that could be begun."""
        return not self.is_over and (bool(self.waiting) or self.begun < len(self.inputs))

    def end(self, outcome: object) -> None:
        """It is answered, or there will be no answer."""
        if not self.is_over:
            self.give_up()
            self.done(outcome)

    def give_up(self) -> None:
        """Nobody waits for it any more; nor for runs in which there is nothing else."""
        self.is_over = True
        for run in list(self.runs):
            run.end_if_for_nobody()


@dataclass(slots=True, eq=False)
class Gathered:
    """One prepared input, and what the model gave for it so far."""

    work: Work
    number: int
    row: Any
    contents: Sequence[Any]
    """What of it goes through the graph."""
    outputs: list[Any]
    missing: int
    """Outputs that are not there yet."""


@dataclass(slots=True, eq=False)
class Part:
    """What goes through the graph by itself: a row, or a window of it."""

    of: Gathered
    place: int
    content: Any
    size: int
    since: float
    """When it began to wait, by `time.monotonic`."""
    is_alone: bool = False
    """Whether it runs with nobody else's: a run that it shared has failed."""

    @property
    def work(self) -> Work:
        """The request it belongs to."""
        return self.of.work


@dataclass(slots=True, eq=False)
class Run:
    """Parts that go through the graph together."""

    parts: list[Part]
    limit: TimeLimit

    def end_if_for_nobody(self) -> None:
        """Stop it where all that is in it belongs to requests that are over."""
        if all(part.work.is_over for part in self.parts):
            self.limit.end()
