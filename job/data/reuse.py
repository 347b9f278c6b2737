"""Rows that were checked before are not checked again: kept by a digest of all that decides what they are."""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from tunewright import job, serving
from tunewright.job.checkpoints.digest import digest
from tunewright.job.data.check import Checked
from tunewright.job.data.dataset import ROWS_FILE, open_dataset, write_state
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.progress.events import Said, recorded, repeat, say
from tunewright.registry.transfer.download import sha256_of

_KEPT = 12
"""Sets of rows that are kept, the last ones used."""
_LONGEST = 86_400.0
"""Seconds after which rows that are not finished are those of a job that was killed."""
_KEYS, _FACTS = "keys.npy", "checked.json"


class Check(Protocol):
    """Reads and checks files into an Arrow file."""

    def __call__(self, *, target: Path) -> Checked:
        """The rows; DataError where something is wrong with them."""


def check_or_reuse(check: Check, files: Sequence[SourceFile], asked: Mapping[str, object], folder: Path) -> Checked:
    """What `check` makes of the files in an Arrow file, or made the last time; what it said then is said again.

    `asked` is all that the rows depend on beside the bytes of the files and the code.
    """
    place = folder / _digest(files, asked)
    if found := _kept(place, files):
        repeat(found[1])
        say("data", f"{len(found[0].data):,} rows are as they were when they were last checked, and are used again")
        return found[0]
    with made_anew(place) as new:
        with recorded() as said:
            checked = check(target=new / ROWS_FILE)
        _keep(checked, said, new)
    return checked


@contextmanager
def made_anew(place: Path) -> Iterator[Path]:
    """A folder for what is to be kept in `place`: it takes that name when it is whole; sets long unused go."""
    new = place.with_name(f"{place.name}.{os.getpid()}.new")
    new.mkdir(parents=True, exist_ok=True)
    try:
        yield new
        shutil.rmtree(place, ignore_errors=True)
        # Another job may have been first: what it made is the same.
        with suppress(OSError):
            new.rename(place)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    forget_old(place.parent)


def _digest(files: Sequence[SourceFile], asked: Mapping[str, object]) -> str:
    facts = {
        "files": [(file.address, file.sha256) for file in files],
        "asked": asked,
        "code": code_digest(),
        "python": [*sys.version_info[:2], pa.__version__],
    }
    return digest(facts)[:32]


@cache
def code_digest() -> str:
    """Of the code that reads, cleans and encodes, whatever its version is called."""
    digest = hashlib.sha256()
    for room in (job, serving):
        for path in sorted(Path(str(room.__file__)).parent.resolve().rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _kept(place: Path, files: Sequence[SourceFile]) -> tuple[Checked, list[Said]] | None:
    """What was kept there, where it is whole."""
    try:
        facts = json.loads((place / _FACTS).read_bytes())
        if facts["sha256"] != {name: sha256_of(place / name) for name in (ROWS_FILE, _KEYS)}:
            return None
        os.utime(place)
        checked = Checked(
            open_dataset(place / ROWS_FILE),
            np.load(place / _KEYS, allow_pickle=False),
            list(files),
            facts["dropped"],
            facts["left_out"],
            [],
            tuple(facts["classes"]),
        )
        return checked, [Said(*one) for one in facts["said"]]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def _keep(checked: Checked, said: Sequence[Said], place: Path) -> None:
    np.save(place / _KEYS, checked.keys, allow_pickle=False)
    digests = {name: sha256_of(place / name) for name in (ROWS_FILE, _KEYS)}
    # With these two the folder opens by datasets.load_from_disk.
    write_state(place, None, digests[ROWS_FILE])
    (place / "dataset_info.json").write_text("{}")
    facts = {
        "dropped": checked.dropped,
        "left_out": dict(checked.left_out),
        "classes": checked.classes,
        "said": said,
        "sha256": digests,
    }
    (place / _FACTS).write_text(json.dumps(facts))


def forget_old(folder: Path) -> None:
    """Leave the sets that were used last. Files that another job reads meanwhile stay readable for it."""
    used: dict[Path, float] = {}
    for place in folder.iterdir():
        with suppress(FileNotFoundError):
            used[place] = place.stat().st_mtime
    whole = sorted((place for place in used if place.suffix != ".new"), key=lambda place: used[place])
    left = [place for place in used if place.suffix == ".new" and used[place] < time.time() - _LONGEST]
    for place in [*whole[:-_KEPT], *left]:
        shutil.rmtree(place, ignore_errors=True)
