"""Lines and bars for people, where there is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tunewright.job.errors import visible

_console = Console(highlight=False, emoji=False)


def is_there() -> bool:
    """Whether people read what is written."""
    return _console.is_terminal


def line(level: str, event: str, text: str) -> None:
    """One event as a line."""
    if level == "warning":
        _console.print(f"[bold yellow]{event:>10}  warning:[/bold yellow] ", end="")
    else:
        _console.print(f"[bold]{event:>10}[/bold]  ", end="")
    _console.print(visible(text), markup=False)


def table(shown: Table) -> None:
    """A table below an empty line."""
    _console.print()
    _console.print(shown)


@contextmanager
def bar(event: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar that goes when it is full; see `events.bar`."""
    columns = (TextColumn(f"[bold]{event:>10}[/bold] "), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[facts]}"), console=_console, transient=True) as progress:
        task = progress.add_task(event, total=total, facts="")

        def advance(done: int = 1, **facts: object) -> None:
            shown = "  ".join(f"{key} {_short(value)}" for key, value in facts.items())
            progress.update(task, advance=done, facts=shown)

        yield advance


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
