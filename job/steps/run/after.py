"""What stays of a run once its version is registered: nothing that the registry has, unless that is asked for."""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tunewright.job.checkpoints.mirror import Mirror
from tunewright.job.progress.events import say, warn
from tunewright.job.steps.run.stages import BUNDLE, CHECKPOINTS, RECORDS
from tunewright.registry.errors import RegistryError

ROWS = "rows"
"""The folder of the rows that were taught."""


def leave(folder: Path, mirror: Mirror | None, *, keep_bundle: bool, left_out: Iterable[str] = ()) -> None:
    """Remove checkpoints, records and the bundle of a run, here and in a bucket; what of it stays is told.

    `left_out`: variants that are no part of the version. With a mirror all that stays is there.
    """
    for name in left_out:
        shutil.rmtree(folder / BUNDLE / "onnx" / name, ignore_errors=True)
    stays = [name for name in ((ROWS, BUNDLE) if keep_bundle else (ROWS,)) if (folder / name).is_dir()]
    goes = (CHECKPOINTS, RECORDS) if keep_bundle else (CHECKPOINTS, RECORDS, BUNDLE)
    for name in goes:
        shutil.rmtree(folder / name, ignore_errors=True)
    place: Path | str = folder
    if mirror:
        try:
            _move(folder, mirror, stays, goes)
        except RegistryError as error:
            warn("output", f"not all that is done with was removed from {mirror.uri}: {error}")
        place = mirror.uri
    with suppress(OSError):
        folder.rmdir()
    if stays:
        say("output", f"{' and '.join(stays)} of the run stay in {place}; nothing needs them any more")


def _move(folder: Path, mirror: Mirror, stays: Iterable[str], goes: Iterable[str]) -> None:
    """What stays to the bucket, and what does not away from it."""
    for name in stays:
        there = folder / name
        paths = sorted(path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file())
        # What describes the others lies at the top: it comes last.
        mirror.within(name).send(there, sorted(paths, key=lambda path: -path.count("/")))
    for name in goes:
        mirror.within(name).clear()
    shutil.rmtree(folder, ignore_errors=True)
