"""A folder for another program: made within the folder itself, then put in place file by file.

Nothing is renamed across its edge, so that it may be a mount point, a link, or the folder one works in. The order,
which a crash may end anywhere:

1. everything is made below `.tunewright-writing`; until here the folder is what it was;
2. a list of the files that are ours goes there, those of the run before among them;
3. each file is replaced by a rename, what lies deeper first, so that a page or a record at the top comes last;
4. what an older run has written, and this one has not, is removed; then `.tunewright-writing` is.

Said again after a crash, the rest is done. Files of others are never touched.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tunewright.registry.errors import BadReference, Conflict, CorruptObject
from tunewright.registry.versions.manifest import check_path
from tunewright.registry.versions.pull import writable
from tunewright.registry.versions.record import Version

STAGING = ".tunewright-writing"
_LIST = "files.json"
_OF_THE_DISK = "lost+found"
"""What a disk of its own holds from the start."""


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
def whole(target: Path, *, mark: str | None = None) -> Iterator[Path]:
    """A folder whose files are those of `target` at the end; where something fails before, `target` is as it was.

    `mark`: a file that lists what was written, by which a later run knows what it may replace. Raises BadReference
    where other files are there, Conflict where another run is at work, AccessDenied and NoSpace.
    """
    target = target.absolute()
    if target.exists() and not target.is_dir():
        raise BadReference(f"{target} is a file; expected a folder, new or empty")
    made = [] if target.exists() else [target]
    staging, new = target / STAGING, target / STAGING / "new"
    with writable(target):
        target.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            ours = _ours(target, [staging / _LIST, *([target / mark] if mark else [])])
            try:
                shutil.rmtree(new, ignore_errors=True)  # of a run that was killed
                new.mkdir(parents=True)
                yield new
                if mark:
                    _write_list(new / mark, [*files_in(new), mark])
                planned = sorted(files_in(new), key=lambda path: (-path.count("/"), path == mark, path))
                _refuse_in_the_way(target, planned, ours)
                _write_list(staging / _LIST, sorted({*planned, *ours}))
                _place(target, planned)
                _remove(target, sorted(ours - set(planned)))
                (staging / _LIST).unlink()
            finally:
                shutil.rmtree(new, ignore_errors=True)
                for folder in (staging, *made):
                    with suppress(OSError):  # it is not empty
                        folder.rmdir()


def files_in(folder: Path) -> tuple[str, ...]:
    """The paths of all files below a folder, sorted."""
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Conflict where another run writes into the folder now. A file system without locks tells of none."""
    descriptor = os.open(target, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"another run writes into {target} now; wait until it has ended") from None
        yield
    finally:
        os.close(descriptor)


def _ours(target: Path, lists: Sequence[Path]) -> set[str]:
    """What older runs have written. BadReference where others have filled the folder."""
    there = {path.name for path in target.iterdir()} - {STAGING, _OF_THE_DISK}
    if there and not any(path.is_file() for path in lists):
        raise BadReference(f"{target} holds files already; choose a folder that is new or empty")
    found: set[str] = set()
    for path in lists:
        if path.is_file():
            found.update(_read_list(path))
    return found


def _read_list(path: Path) -> list[str]:
    try:
        told = json.loads(path.read_bytes())
        return [check_path(one) for one in told if isinstance(one, str)]
    except (ValueError, TypeError, BadReference):
        raise CorruptObject(
            f"{path} is no list of what was written, so what is whose in {path.parent} cannot be told; choose a folder "
            "that is new or empty"
        ) from None


def _write_list(path: Path, files: Sequence[str]) -> None:
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps(files, indent=0) + "\n", encoding="utf-8")
    temporary.replace(path)


def _refuse_in_the_way(target: Path, planned: Sequence[str], ours: set[str]) -> None:
    """BadReference where something of others stands where a file of ours belongs."""
    for path in planned:
        folders = [target / one for one in PurePosixPath(path).parents[:-1]]
        wrong = [one for one in folders if one.is_symlink() or (one.exists() and not one.is_dir())]
        if os.path.lexists(target / path) and (path not in ours or (target / path).is_dir()):
            wrong.append(target / path)
        if wrong:
            raise BadReference(f"{wrong[0]} is not of an older run, and stands in the way; choose another folder")


def _place(target: Path, planned: Sequence[str]) -> None:
    for path in planned:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / STAGING / "new" / path).replace(target / path)


def _remove(target: Path, paths: Sequence[str]) -> None:
    """Files of an older run, and the folders that are empty without them."""
    for path in paths:
        folders = [target / one for one in PurePosixPath(path).parents[:-1]]
        if any(one.is_symlink() for one in folders):  # it leads elsewhere since
            continue
        with suppress(OSError):  # it is a folder since; or a folder holds more
            (target / path).unlink(missing_ok=True)
            for folder in folders:
                folder.rmdir()
