"""The versions that were pulled to this machine: how much room they take, and which can go."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tunewright.registry.errors import BadReference, Conflict, NotFound
from tunewright.registry.transfer.in_use import alone
from tunewright.registry.versions.pull import writable

_DIGEST = re.compile(r"[0-9a-f]{64}(\.|$)")


@dataclass(frozen=True)
class Cached:
    """What lies in a cache."""

    versions: int
    in_use: int  # of those, the versions that a program has pulled which still runs
    size: int  # bytes of all versions and blobs together, each file once
    removed: int = 0  # versions


def look(cache: Path) -> Cached:
    """What is there. Raises NotFound, BadReference for what is no cache, AccessDenied."""
    with writable(cache, "read"):
        folders = _folders(_there(cache))
        free = 0
        for folder in folders:
            with alone(folder) as is_free:
                free += is_free
        return Cached(len(folders), len(folders) - free, _size(cache))


def prune(cache: Path, most: int) -> Cached:
    """Remove what was used longest ago until at most so many bytes are left, but never a version in use.

    Nothing else that lies there is touched. Raises NotFound, BadReference for what is no cache, Conflict while somebody
    pulls, AccessDenied.
    """
    removed = 0
    with writable(cache), alone(_there(cache)) as is_alone:
        if not is_alone:
            raise Conflict(f"somebody pulls into {cache} just now, or its disk has no locks; try again in a while")
        if _size(cache) > most:
            _remove_unlinked(cache)
        for folder in _folders(cache):
            if _size(cache) <= most:
                break
            with alone(folder) as is_free:
                if is_free:
                    shutil.rmtree(folder)
                    removed += 1
            _remove_unlinked(cache)
    left = look(cache)
    return Cached(left.versions, left.in_use, left.size, removed)


def _there(cache: Path) -> Path:
    if not cache.exists():
        raise NotFound(f"there is no cache in {cache} (REGISTRY_CACHE): nothing was pulled yet")
    if not cache.is_dir() or (cache / "models").exists():
        what = "a registry" if cache.is_dir() else "a file"
        raise BadReference(f"{cache} (REGISTRY_CACHE) is {what}; expected a folder for what is pulled, of its own")
    return cache


def _folders(cache: Path) -> list[Path]:
    """Of the versions, the one that was used longest ago first."""
    folders = [path for path in (cache / "versions").glob("*") if _DIGEST.match(path.name) and path.is_dir()]
    return sorted(folders, key=lambda path: path.stat().st_mtime)


def _blobs(cache: Path) -> Iterator[Path]:
    """Whole ones, and what downloads keep beside those that are not."""
    return (path for path in (cache / "blobs/sha256").glob("*") if _DIGEST.match(path.name) and path.is_file())


def _files(cache: Path) -> Iterator[os.stat_result]:
    inside = (path for folder in _folders(cache) for path in folder.rglob("*") if path.is_file())
    for path in chain(_blobs(cache), inside):
        with suppress(FileNotFoundError):
            yield path.stat()


def _size(cache: Path) -> int:
    """Bytes of the files, each of which may have several names."""
    return sum({(one.st_dev, one.st_ino): one.st_size for one in _files(cache)}.values())


def _remove_unlinked(cache: Path) -> None:
    """The blobs that are part of no version, and what broken downloads have left."""
    for path in _blobs(cache):
        if path.stat().st_nlink == 1:
            path.unlink()
