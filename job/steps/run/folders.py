"""The folders of a run: its own, which it has alone, and one for files that nobody needs afterwards."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunewright.job.errors import JobError

_LOCK = ".lock"
_WORK = ".work-"


@contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """A folder in `output` that is removed at the end, with those that killed processes have left."""
    output.mkdir(parents=True, exist_ok=True)
    for left in output.glob(f"{_WORK}*"):
        if (lock := _locked(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    token = secrets.token_hex(4)
    new, folder = output / f".{token}", output / f"{_WORK}{token}"
    new.mkdir()
    # Before it has the name that others look for.
    lock = _locked(new)
    new.rename(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Have a folder alone; JobError where another process has it. It is removed where nothing is in it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = _locked(folder)
    if lock is None:
        raise JobError(f"another process is at work on the run in {folder}; wait for it, or give this run a run_id")
    try:
        yield
    finally:
        (folder / _LOCK).unlink(missing_ok=True)
        os.close(lock)
        with suppress(OSError):
            folder.rmdir()


def _locked(folder: Path) -> int | None:
    """A lock that ends with the process, whatever ends it; None where another one has it."""
    path = folder / _LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        # A disk that knows no locks.
        return handle
    if not path.exists() or not os.path.samestat(path.stat(), os.fstat(handle)):
        # Whoever had it has taken it away meanwhile.
        os.close(handle)
        return None
    return handle
