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
def whole(target: Path) -> Iterator[Path]:
    """A folder beside `target` that becomes it at the end, and of which nothing is left where something fails.

    Raises BadReference where files are there already, AccessDenied and NoSpace.
    """
    target = target.absolute()
    if target.exists() and not target.is_dir():
        raise BadReference(f"{target} is a file; expected a folder, new or empty")
    if target.is_dir() and any(target.iterdir()):
        raise BadReference(f"{target} holds files already; choose a folder that is new or empty")
    made = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with writable(target):
        made.mkdir(parents=True)
        try:
            yield made
            made.replace(target)  # an empty folder is replaced too
        finally:
            shutil.rmtree(made, ignore_errors=True)


def files_in(folder: Path) -> tuple[str, ...]:
    """The paths of all files below a folder, sorted."""
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
