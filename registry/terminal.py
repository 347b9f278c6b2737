"""How far a transfer is, on the last line of a terminal: written again and again, and wiped out at the end."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from tunewright.registry.stores.disk_space import size_text

_AFTER = 1.0  # seconds: what is done by then needs no line
_EVERY = 0.2  # seconds between two lines
_WIPE = "\r\x1b[K"


class Line:
    """See `registry.progress.Watcher`. `clock`: seconds, from any point on."""

    def __init__(self, terminal: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal, self._clock, self._lock = terminal, clock, threading.Lock()
        self._what, self._total, self._times, self._moved = "", 0, 1, 0
        self._begun = self._next = 0.0
        self._is_drawn = False

    def begin(self, what: str, total: int, times: int) -> None:
        """See Watcher."""
        self._what, self._total, self._times, self._moved = what, total, times, 0
        self._begun = self._clock()
        self._next = self._begun + _AFTER

    def moved(self, size: int) -> None:
        """See Watcher."""
        with self._lock:
            self._moved += size
            now = self._clock()
            if now >= self._next:
                self._next = now + _EVERY
                width = shutil.get_terminal_size().columns - 1
                self._write(f"{_WIPE}{self._text(now - self._begun)[:width]}")
                self._is_drawn = True

    def end(self) -> None:
        """See Watcher."""
        self.wipe()
        self._next = float("inf")

    def wipe(self) -> None:
        """Leave an empty line, for something else."""
        with self._lock:
            if self._is_drawn:
                self._is_drawn = False
                self._write(_WIPE)

    def _text(self, seconds: float) -> str:
        moved = min(self._moved // self._times, self._total)
        rate = moved / seconds if seconds > 0 else 0.0
        left = f"{_time((self._total - moved) / rate)} left" if rate > 0 else "waiting"
        share = 100 * moved // self._total if self._total else 100
        sizes = f"{size_text(moved)} of {size_text(self._total)}"
        return f"{self._what}: {share} %, {sizes}, {size_text(rate)}/s, {left}"

    def _write(self, text: str) -> None:
        with suppress(OSError):  # the terminal was closed; the transfer goes on
            self._terminal.write(text)
            self._terminal.flush()


def line_of(stream: TextIO | None) -> Line | None:
    """A line for a terminal that knows how to wipe one; None for a file, a pipe and whatever else."""
    knows = stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Line(stream) if stream is not None and knows else None


def _time(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.0f} h"
