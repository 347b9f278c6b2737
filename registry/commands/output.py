"""What the commands print: tables, pairs, JSON, and sentences."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from tunewright.registry.versions.document import as_text
from tunewright.registry.versions.record import Version


def say(text: str, stream: TextIO | None = None) -> None:
    # What a publisher wrote may hold control sequences for the terminal.
    clean = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    (stream or sys.stdout).write(clean + "\n")


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
    say(json.dumps(value, indent=2, ensure_ascii=False))


def answer(sentence: str, facts: Mapping[str, object], *, as_json: bool) -> None:
    """Say what was done; with `--json` as one object."""
    if as_json:
        print_json(facts)
    else:
        say(sentence)


def short(value: object) -> str:
    text = as_text(value)
    return text if len(text) <= 100 else text[:97] + "..."


def metric_of(version: Version | None) -> str:
    return str(version.summary) if version and version.summary else "-"
