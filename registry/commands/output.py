"""What the commands print: tables, pairs, JSON, and sentences."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from tunewright.registry.errors import RegistryError
from tunewright.registry.versions.document import as_text
from tunewright.registry.versions.record import Version


def say(text: str, stream: TextIO | None = None) -> None:
    # What a publisher wrote may hold control sequences for the terminal.
    clean = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    write(clean + "\n", stream or sys.stdout)


def write(text: str, stream: TextIO | None, *, flushed: bool = False) -> None:
    """Write a text as it is. Raises RegistryError, BrokenPipeError."""
    if stream is None:
        raise RegistryError("there is no standard output to write to: it is closed; look where it goes")
    try:
        stream.write(text)
        if flushed:
            stream.flush()
    except OSError as error:
        with suppress(OSError):  # so that the end of the program does not fail on what is left
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is sys.stderr:  # there is nowhere to tell it
            return
        if isinstance(error, BrokenPipeError):
            raise
        raise RegistryError(
            f"what was found cannot be written to standard output ({error.strerror}); look where it goes"
        ) from None


def warn(text: str | None) -> None:
    """Say what went wrong beside what was asked for; None is nothing."""
    if text:
        say(f"warning: {text}", sys.stderr)


def tell(faults: Sequence[str]) -> int:
    """Say what was found that does not belong there; the exit code."""
    for fault in dict.fromkeys(faults):
        say(f"error: {fault}", sys.stderr)
    return 1 if faults else 0


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    cells = [[_line(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        say(f"{name.ljust(width)}  {_line(value)}")


def _line(text: str) -> str:
    """A text in one line: what a publisher wrote may not look like lines of ours."""
    return " ".join(text.splitlines())


def print_json(value: object) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    say("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def answer(sentence: str, facts: Mapping[str, object], *, as_json: bool) -> None:
    """Say what was done; with `--json` as one object."""
    if as_json:
        print_json(facts)
    else:
        say(sentence)


def counted(number: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def short(value: object) -> str:
    text = as_text(value)
    return text if len(text) <= 100 else text[:97] + "..."


def metric_of(version: Version | None) -> str:
    return str(version.summary) if version and version.summary else "-"
