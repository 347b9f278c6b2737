"""How often a run was tried: a small object for each try, whose name says how far the run had come when it began.

They lie beside the checkpoints, in the folder of the run or in its bucket. One listing tells how many there were and
whether the last ones came any further; of checkpoints only the newest of each stage is looked into, for its step.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tunewright.job.checkpoints.digest import digest
from tunewright.job.checkpoints.mirror import FACTS, MANIFEST, Mirror
from tunewright.job.errors import JobError
from tunewright.job.progress.events import warn
from tunewright.job.steps.run.stages import CHECKPOINTS, RECORDS
from tunewright.registry.errors import RegistryError
from tunewright.registry.stores.folder import FolderStore

TRIES = "tries"
"""The folder of a run that holds them."""
LIMIT = 3
"""Tries in a row that may come no further."""
_DECIDED = (2, 3, 4)
"""Exit codes of a run that need a person: what is tried afterwards is something else."""
_NAME = re.compile(rf"{TRIES}/(\d+)-([0-9a-f]{{8}})\.json")
_CHECKPOINT = re.compile(rf"{CHECKPOINTS}/(.+)/(\d+)/{re.escape(MANIFEST)}")
_STAGE = re.compile(rf"{RECORDS}/([^/]+)\.json")

Reached = Mapping[str, tuple[int, int] | None]
"""What is done: a stage after training by its name; a training with the epoch and its steps at its last checkpoint."""


@contextmanager
def counted(folder: Path, mirror: Mirror | None) -> Iterator[int]:
    """Around a try of the run in `folder`: its number, from 1. A run that ends with an answer is counted no more.

    Raises JobError where the last three tries came no further than the one before.
    """
    home = mirror or Mirror(FolderStore(folder.parent), folder.name)
    number = _begin(folder, home)
    try:
        yield number
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 1) in _DECIDED:
            _forget(folder, home)
        raise
    _forget(folder, home)


def _begin(folder: Path, home: Mirror) -> int:
    names = home.names()
    reached = _reached(folder, home, names)
    mark = digest(reached)[:8]
    tries = sorted((int(found[1]), found[2]) for name in names if (found := _NAME.fullmatch(name)))
    last = [seen for _, seen in tries[-LIMIT:]]
    if last == [mark] * LIMIT:
        raise JobError(
            f"the run {folder.name} was tried {len(tries)} times, and the last {LIMIT} tries came no further than "
            f"{_where(reached)}: see what ended them (memory, ephemeral storage, the node; on Kubernetes `kubectl "
            f"describe pod` tells), then give it another run_id to begin anew, or remove {home.uri}/{TRIES} to go on"
        )
    number = tries[-1][0] + 1 if tries else 1
    told = json.dumps({"begun": round(time.time(), 1), "reached": reached})
    # Another one may have begun at the same moment.
    while not home.create(f"{TRIES}/{number:06}-{mark}.json", told.encode()):
        number += 1
    return number


def _forget(folder: Path, home: Mirror) -> None:
    try:
        home.within(TRIES).clear()
    except RegistryError as error:
        warn("output", f"the tries of this run stay counted: {error}")
    with suppress(OSError):
        (folder / TRIES).rmdir()


def _reached(folder: Path, home: Mirror, names: list[str]) -> Reached:
    """What there is of the run, on this disk or in its bucket."""
    here = [path.relative_to(folder).as_posix() for path in folder.rglob("*.json")]
    newest: dict[str, str] = {}
    for name in [*names, *here]:
        if found := _CHECKPOINT.fullmatch(name):
            newest[found[1]] = max(newest.get(found[1], "0"), found[2], key=int)
    reached: dict[str, tuple[int, int] | None] = {
        stage: _step(folder, home, f"{CHECKPOINTS}/{stage}/{number}/{FACTS}") for stage, number in newest.items()
    }
    return reached | {done[1]: None for name in [*names, *here] if (done := _STAGE.fullmatch(name))}


def _step(folder: Path, home: Mirror, name: str) -> tuple[int, int] | None:
    """The epoch and its steps that are done at a checkpoint; None where that is not known."""
    try:
        facts = json.loads((folder / name).read_bytes() if (folder / name).is_file() else home.read(name))
        return int(facts["epoch"]), int(facts["step"])
    except (OSError, RegistryError, ValueError, KeyError, TypeError):
        return None


def _where(reached: Reached) -> str:
    stages = sorted(name for name, at in reached.items() if at is None)
    steps = [f"{name}, epoch {at[0]}, step {at[1]}" for name, at in sorted(reached.items()) if at]
    return "; ".join([*steps, *(f"{name}, which is done" for name in stages)]) or "the time before a first checkpoint"
