"""What is said of a job, once, for all who read it: the terminal or a stream of JSON lines, and those who listen."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from rich.table import Table

from tunewright.job.progress import console, json_lines

_recordings: "list[list[Said]]" = []
_listeners: "list[Listener]" = []
_is_quiet = False


class Said(NamedTuple):
    """What was reported: enough to report it again."""

    level: str
    event: str
    text: str
    facts: dict[str, object]


class Done(NamedTuple):
    """How far a bar is."""

    event: str
    done: int
    total: int
    facts: dict[str, object]


class Listener(Protocol):
    """One more reader of the events."""

    def hear(self, said: Said) -> None:
        """What was reported."""

    def see(self, done: Done) -> None:
        """A bar that has gone on."""


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have it hear and see all that is reported meanwhile, once that has been shown."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def recorded() -> Iterator[list[Said]]:
    """What is said and warned of meanwhile, which is reported all the same."""
    said: list[Said] = []
    _recordings.append(said)
    try:
        yield said
    finally:
        # Not the first one that is equal: one that began with it may have heard the same.
        _recordings[:] = [one for one in _recordings if one is not said]


@contextmanager
def quiet() -> Iterator[None]:
    """Report nothing meanwhile: what is tried to measure it is not the job, and of several processes one speaks."""
    global _is_quiet
    before, _is_quiet = _is_quiet, True
    try:
        yield
    finally:
        _is_quiet = before


def repeat(said: Iterable[Said]) -> None:
    """Report again what was recorded."""
    for one in said:
        _report(one)


def say(event: str, text: str, **facts: object) -> None:
    """Report one step or decision: `text` for people, `event` and `facts` for machines."""
    _report(Said("info", event, text, facts))


def warn(event: str, text: str, **facts: object) -> None:
    """Report something the user should look at; the job goes on."""
    _report(Said("warning", event, text, facts))


def _report(one: Said) -> None:
    for said in _recordings:
        said.append(one)
    if _is_quiet:
        return
    if console.is_there():
        console.line(one.level, one.event, one.text)
    else:
        json_lines.line(one.event, level=one.level, message=one.text, **one.facts)
    for listener in tuple(_listeners):
        listener.hear(one)


@contextmanager
def bar(event: str, total: int) -> Iterator[Callable[..., None]]:
    """A progress bar over `total` steps; call what it yields with the number of steps done and facts to show."""
    if _is_quiet:
        yield lambda *_, **__: None
    elif console.is_there():
        with console.bar(event, total) as advance:
            yield _seen(advance, event, total)
    else:
        yield _seen(json_lines.bar(event, total), event, total)


def _seen(show: Callable[..., None], event: str, total: int) -> Callable[..., None]:
    done_so_far = 0

    def advance(done: int = 1, **facts: object) -> None:
        nonlocal done_so_far
        done_so_far += done
        show(done, **facts)
        for listener in tuple(_listeners):
            listener.see(Done(event, done_so_far, total, facts))

    return advance


def show_table(table: Table | None, event: str, text: str, **facts: object) -> None:
    """The end of a run: a table on a terminal, its figures in one event elsewhere."""
    if table is not None and console.is_there():
        console.table(table)
    say(event, text, **facts)
