"""One JSON object an event, where no terminal is."""

import sys
import time
from collections.abc import Callable

from tunewright.serving.events import json_line

_EVERY = 10.0
"""Seconds between two events of a bar."""


def line(event: str, *, level: str, **facts: object) -> None:
    """One event as a line."""
    sys.stdout.write(json_line(event, level=level, **facts) + "\n")
    sys.stdout.flush()


def bar(event: str, total: int) -> Callable[..., None]:
    """How far it is, now and then; see `events.bar`."""
    done_so_far, last = 0, time.monotonic()

    def advance(done: int = 1, **facts: object) -> None:
        nonlocal done_so_far, last
        done_so_far += done
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            line(event, level="info", done=done_so_far, total=total, **facts)

    return advance
