"""What the job tells people: lines and bars on a terminal, one JSON line an event elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tunewright.job.errors import visible
from tunewright.serving.events import json_line

_console = Console(highlight=False, emoji=False)
_recordings: "list[list[Said]]" = []
_is_quiet = False
_EVERY = 10.0
"""Seconds between two progress events where there is no terminal."""


class Said(NamedTuple):
    """What was reported: enough to report it again."""

    level: str
    event: str
    text: str
    facts: dict[str, object]


@contextmanager
def recorded() -> Iterator[list[Said]]:
    """What is said and warned of meanwhile, which is reported all the same."""
    said: list[Said] = []
    _recordings.append(said)
    try:
        yield said
    finally:
        _recordings.remove(said)


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
        (warn if one.level == "warning" else say)(one.event, one.text, **one.facts)


def say(event: str, text: str, **facts: object) -> None:
    """Report one step or decision: `text` for people, `event` and `facts` for machines."""
    _record("info", event, text, facts)
    if _is_quiet:
        return
    if _console.is_terminal:
        _console.print(f"[bold]{event:>10}[/bold]  ", end="")
        _console.print(visible(text), markup=False)
    else:
        _emit(event, level="info", message=text, **facts)


def warn(event: str, text: str, **facts: object) -> None:
    """Report something the user should look at; the job goes on."""
    _record("warning", event, text, facts)
    if _is_quiet:
        return
    if _console.is_terminal:
        _console.print(f"[bold yellow]{event:>10}  warning:[/bold yellow] ", end="")
        _console.print(visible(text), markup=False)
    else:
        _emit(event, level="warning", message=text, **facts)


def _record(level: str, event: str, text: str, facts: dict[str, object]) -> None:
    for said in _recordings:
        said.append(Said(level, event, text, facts))


@contextmanager
def bar(event: str, total: int) -> Iterator[Callable[..., None]]:
    """A progress bar over `total` steps; call what it yields with the number of steps done and facts to show."""
    if _is_quiet:
        yield lambda *_, **__: None
    elif _console.is_terminal:
        with _bar_on_terminal(event, total) as advance:
            yield advance
    else:
        yield _events(event, total)


@contextmanager
def _bar_on_terminal(event: str, total: int) -> Iterator[Callable[..., None]]:
    columns = (TextColumn(f"[bold]{event:>10}[/bold] "), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[facts]}"), console=_console, transient=True) as progress:
        task = progress.add_task(event, total=total, facts="")

        def advance(done: int = 1, **facts: object) -> None:
            shown = "  ".join(f"{key} {_short(value)}" for key, value in facts.items())
            progress.update(task, advance=done, facts=shown)

        yield advance


def _events(event: str, total: int) -> Callable[..., None]:
    done_so_far, last = 0, time.monotonic()

    def advance(done: int = 1, **facts: object) -> None:
        nonlocal done_so_far, last
        done_so_far += done
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            _emit(event, level="info", done=done_so_far, total=total, **facts)

    return advance


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _emit(event: str, *, level: str, **facts: object) -> None:
    sys.stdout.write(json_line(event, level=level, **facts) + "\n")
    sys.stdout.flush()


def show_table(table: Table | None, event: str, text: str, **facts: object) -> None:
    """The end of a run: a table on a terminal, its figures in one event elsewhere."""
    if _console.is_terminal and table is not None:
        _console.print()
        _console.print(table)
    say(event, text, **facts)
