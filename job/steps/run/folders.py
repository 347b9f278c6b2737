"""The folders of a run: its own, which it has alone, and one for files that nobody needs afterwards."""

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunewright.job.errors import JobError, SettingsError
from tunewright.job.progress.events import say
from tunewright.registry.stores.disk_space import size_text

_LOCK = ".lock"
_WORK = ".work-"
_NEW = re.compile(r"\.[0-9a-f]{8}")
"""A folder for work that has no lock yet."""
_HALF = ("checkpoints/**/*.new", "stages/*.new")
"""What is written of a run until it is whole."""


def local_folder(output: Path | str, cache: Path) -> Path:
    """Where the files of runs lie on this machine: in `output`, or in the cache where that is a bucket."""
    if isinstance(output, Path):
        return output
    return cache / "runs" / hashlib.sha256(output.rstrip("/").encode()).hexdigest()[:16]


@contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """A folder in `output` that is removed at the end; what killed processes have left there goes at once."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # of a file system that keeps none, such as /proc
        raise SettingsError(f"output is {str(output)!r}, where no folder can be made; name another one") from error
    _sweep(output)
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


def _sweep(output: Path) -> None:
    """Remove what nobody is at work on any more, and say so."""
    removed = [_remove(left, left) for left in output.glob(f"{_WORK}*")]
    removed += [_remove(left, left) for left in output.iterdir() if _NEW.fullmatch(left.name) and _is_old(left)]
    for pattern in _HALF:
        removed += [_remove(left, output / left.relative_to(output).parts[0]) for left in output.glob(f"*/{pattern}")]
    if sizes := [size for size in removed if size is not None]:
        what = f"{len(sizes)} unfinished file{'s' if len(sizes) > 1 else ''} or folder{'s' if len(sizes) > 1 else ''}"
        say("output", f"removed {what} of processes that were killed from {output} ({size_text(sum(sizes))})")


def _is_old(folder: Path) -> bool:
    """Whether nobody can be about to lock it and to give it its name."""
    try:
        return time.time() - folder.stat().st_mtime > 60
    except FileNotFoundError:
        return False


def _remove(left: Path, owned: Path) -> int | None:
    """Remove it where no process has the folder that it belongs to; the bytes that it had."""
    lock = _locked(owned)
    if lock is None:
        return None
    try:
        size = sum(path.lstat().st_size for path in (left, *left.rglob("*")) if path.is_file())
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    except OSError:
        return None
    finally:
        (owned / _LOCK).unlink(missing_ok=True)
        os.close(lock)
    return size


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
