"""A folder for another program, written whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunewright.registry.errors import BadReference
from tunewright.registry.versions.pull import writable
from tunewright.registry.versions.record import Version


@dataclass(frozen=True)
class Exported:
    """What was written."""

    version: Version
    place: str
    files: tuple[str, ...]
    """Their paths, sorted."""
    remarks: tuple[str, ...] = ()
    """What to know before it is used."""


@contextmanager
def whole(target: Path, *, replaces: str | None = None) -> Iterator[Path]:
    """A folder beside `target` that becomes it at the end, and of which nothing is left where something fails.

    `replaces`: a file that tells a folder whose place it takes. Raises BadReference where other files are there,
    AccessDenied and NoSpace.
    """
    target = target.absolute()
    if target.exists() and not target.is_dir():
        raise BadReference(f"{target} is a file; expected a folder, new or empty")
    is_older = replaces is not None and (target / replaces).is_file()
    if target.is_dir() and any(target.iterdir()) and not is_older:
        raise BadReference(f"{target} holds files already; choose a folder that is new or empty")
    made = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
    older = made.with_name(f"{made.name}.older")
    with writable(target):
        made.mkdir(parents=True)
        try:
            yield made
            if is_older:
                target.replace(older)
            made.replace(target)  # an empty folder is replaced too
        finally:
            for left in (made, older):
                shutil.rmtree(left, ignore_errors=True)


def files_in(folder: Path) -> tuple[str, ...]:
    """The paths of all files below a folder, sorted."""
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
