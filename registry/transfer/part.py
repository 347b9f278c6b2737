"""An unfinished download beside its target: locked by one process, with a journal of the ranges that it holds."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tunewright.registry.transfer.journal import Journal


@dataclass(frozen=True)
class Part:
    """An unfinished file, locked by this process."""

    path: Path
    descriptor: int
    journal: Journal


def write_at(descriptor: int, data: bytes, start: int) -> None:
    """Write all of the bytes at this place of the file."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written


@contextmanager
def locked_part(target: Path) -> Iterator[Part]:
    """The part of a target, locked; one in which nothing arrived is removed in the end."""
    path = target.with_name(target.name + ".part")
    descriptor = _lock(path)
    try:
        yield Part(path, descriptor, Journal(path.with_name(path.name + ".json")))
    finally:
        # Once it is renamed, or was removed, the name may already be the part of somebody else.
        if os.fstat(descriptor).st_size == 0 and _is_at(descriptor, path):
            path.unlink()  # nothing arrived
        os.close(descriptor)  # also gives the lock back


def _lock(path: Path) -> int:
    """Open and lock the part; when its last owner has renamed it to the target meanwhile, a new one."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            # Without locks two processes write the same bytes to the same places, which does no harm.
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                os.close(descriptor)
                raise
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the path still names the open file."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
