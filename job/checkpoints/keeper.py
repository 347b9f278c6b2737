"""The checkpoints of a run: written in the background, the last ones kept, the newest good one found again."""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tunewright.job.checkpoints.files import Damaged, Foreign, Identity, Snapshot, read, write
from tunewright.job.errors import SettingsError
from tunewright.job.progress import say, warn
from tunewright.job.settings.train import CheckpointSettings


class Checkpoints:
    """Those of one stage of a run, numbered in a folder of their own."""

    def __init__(self, folder: Path, identity: Identity, settings: CheckpointSettings) -> None:
        self._folder, self._identity, self._settings = folder, identity, settings
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._last = time.monotonic()

    def of(self, stage: str) -> "Checkpoints":
        """Those of another stage of the same run."""
        return Checkpoints(self._folder / stage, self._identity, self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until what is being written is on the disk."""
        self._wait()
        self._writer.shutdown()

    def is_due(self, step: int) -> bool:
        """Whether the settings ask for a checkpoint after this step; not while one is still being written."""
        if self._writing and not self._writing.done():
            return False
        steps = self._settings.steps
        return bool(steps and step % steps == 0) or time.monotonic() - self._last >= 60 * self._settings.minutes

    def save(self, take: Callable[[], Snapshot]) -> None:
        """Take a snapshot now, and write it while the run goes on."""
        self._wait()
        self._last = time.monotonic()
        self._writing = self._writer.submit(self._write, take())

    def newest(self) -> Snapshot | None:
        """The newest checkpoint that is whole, None where there is none yet.

        SettingsError where one is of something else, or all are damaged.
        """
        faults = []
        for folder in reversed(self._kept()):
            try:
                snapshot, differs = read(folder, self._identity)
            except Foreign as error:
                raise SettingsError(f"checkpoint {folder} cannot be used: {error}; {self._cure()}") from error
            except Damaged as error:
                faults.append(f"checkpoint {folder} is damaged: {error}")
                continue
            for fault in faults:
                warn("checkpoint", f"{fault}; an older one is used")
            say("checkpoint", f"the run goes on from {folder}")
            if differs:
                warn("checkpoint", f"results may differ in the last bits from those of a run in one go: {differs}")
            return snapshot
        if faults:
            raise SettingsError(f"{faults[0]}, and no other one is left; {self._cure()}")
        return None

    def last(self) -> Path | None:
        """The newest one that is written, None where there is none."""
        self._wait()
        kept = self._kept()
        return kept[-1] if kept else None

    def _cure(self) -> str:
        return f"give this run another run_id, or remove {self._folder} to begin it again"

    def _write(self, snapshot: Snapshot) -> None:
        kept = self._kept()
        # Always a new number: between removing a folder and writing it again there would be none.
        number = int(kept[-1].name) + 1 if kept else 1
        write(snapshot, self._identity, self._folder / f"{number:06}")
        for folder in self._kept()[: -self._settings.keep]:
            shutil.rmtree(folder, ignore_errors=True)

    def _kept(self) -> list[Path]:
        """From the oldest to the newest; what a killed run left half-written is none."""
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if path.name.isdecimal())

    def _wait(self) -> None:
        """A checkpoint that cannot be written does not end a run that goes well."""
        if self._writing is None:
            return
        try:
            self._writing.result()
        except OSError as error:
            warn("checkpoint", f"no checkpoint was written: {error}; the run goes on without it")
        self._writing = None
