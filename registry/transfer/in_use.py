"""Folders that somebody uses: locks that end with the process, whatever becomes of it.

A file system without locks gives none: then nobody is known to use anything, and nothing is removed either.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_KEPT: dict[Path, int] = {}
_GUARD = threading.Lock()


@contextmanager
def used(folder: Path) -> Iterator[None]:
    """Have it for a while, as any number of others may. Raises OSError where it is not there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def keep(folder: Path) -> None:
    """Have it until this process ends."""
    with _GUARD:
        if folder in _KEPT and os.path.samestat(os.fstat(_KEPT[folder]), folder.stat()):
            return
        descriptor = os.open(folder, os.O_RDONLY)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        if folder in _KEPT:
            os.close(_KEPT[folder])
        _KEPT[folder] = descriptor


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Have it for a while as nobody else may; whether that is so."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
