"""The checkpoints of a run: written in the background, the last ones kept, the newest good one found again."""

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tunewright.job.checkpoints.files import FILES, Damaged, Foreign, Identity, Snapshot, read, write
from tunewright.job.checkpoints.mirror import MANIFEST, Mirror
from tunewright.job.checkpoints.sender import Sender
from tunewright.job.errors import SettingsError
from tunewright.job.progress.events import say, warn
from tunewright.job.settings.train import CheckpointSettings
from tunewright.registry.errors import CorruptObject, NoSpace


class Checkpoints:
    """Those of one stage of a run, numbered in a folder of their own, and with a mirror in a bucket too."""

    def __init__(
        self, folder: Path, identity: Identity, settings: CheckpointSettings, mirror: Mirror | None = None
    ) -> None:
        self._folder, self._identity, self._settings, self._mirror = folder, identity, settings, mirror
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._sender = Sender("a checkpoint")
        self._writing: Future[None] | None = None
        self._last = time.monotonic()
        self._lock = threading.Lock()
        self._leaving = ""
        """The name of the one that is being sent."""
        self._highest = 0
        """The highest number that was there when the run went on, whole or not."""

    def of(self, stage: str) -> "Checkpoints":
        """Those of another stage of the same run."""
        mirror = self._mirror and self._mirror.within(stage)
        return Checkpoints(self._folder / stage, self._identity, self._settings, mirror)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until what is being written is on the disk, and what is being sent is there."""
        self._wait()
        self._writer.shutdown()
        self._sender.wait()

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
        here = {folder.name for folder in self._kept()}
        names = sorted(here | set(self._sent()), key=int, reverse=True)
        self._highest = max(map(int, names), default=0)
        for name in names:
            folder = self._folder / name
            try:
                if name not in here:
                    self._fetch(name)
                snapshot, differs = read(folder, self._identity)
            except Foreign as error:
                raise SettingsError(f"checkpoint {folder} cannot be used: {error}; {self._cure()}") from error
            except Damaged as error:
                faults.append(f"checkpoint {folder} is damaged: {error}")
                continue
            for fault in faults:
                warn("checkpoint", f"{fault}; an older one is used")
            place = folder if name in here or not self._mirror else f"{self._mirror.uri}/{name}"
            say("checkpoint", f"the run goes on from {place}")
            if differs:
                warn("checkpoint", f"results may differ in the last bits from those of a run in one go: {differs}")
            return snapshot
        if faults:
            raise SettingsError(f"{faults[0]}, and no other one is left; {self._cure()}")
        return None

    def has_any(self) -> bool:
        """Whether there is one, of this stage or of a stage of it, here or in the bucket."""
        names = self._mirror.names() if self._mirror else []
        return any(self._folder.rglob(MANIFEST)) or any(name.rpartition("/")[2] == MANIFEST for name in names)

    def last(self) -> Path | None:
        """The newest one that is written, None where there is none."""
        self._wait()
        kept = self._kept()
        return kept[-1] if kept else None

    def _cure(self) -> str:
        places = f"{self._folder}{f' and {self._mirror.uri}' if self._mirror else ''}"
        return f"give this run another run_id, or remove {places} to begin it again"

    def _write(self, snapshot: Snapshot) -> None:
        # Always a new number: between removing a folder and writing it again there would be none.
        number = max([self._highest, *(int(folder.name) for folder in self._kept())]) + 1
        write(snapshot, self._identity, self._folder / f"{number:06}")
        with self._lock:
            old = [folder for folder in self._kept()[: -self._settings.keep] if folder.name != self._leaving]
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        if self._mirror:
            self._sender.submit(self._send)

    def _send(self) -> None:
        """Send the newest one, unless it was sent already: several may have been written while one was on its way."""
        assert self._mirror is not None
        with self._lock:
            name = self._kept()[-1].name
            self._leaving = name
        there = self._sent()
        if name not in there:
            self._mirror.within(name).send(self._folder / name, FILES)
            there.append(name)
        last = sorted(there, key=int)[-self._settings.keep :]
        numbers = {one: one.partition("/")[0] for one in self._mirror.names()}
        old = [one for one, number in numbers.items() if number.isdecimal() and number not in last]
        # Manifests first: what is left of a checkpoint without one is none.
        self._mirror.remove(sorted(old, key=lambda one: not one.endswith(MANIFEST)))

    def _sent(self) -> list[str]:
        """The names of those that are whole in the bucket."""
        names = self._mirror.names() if self._mirror else []
        parts = (name.partition("/") for name in names)
        return [number for number, _, file in parts if number.isdecimal() and file == MANIFEST]

    def _fetch(self, name: str) -> None:
        """Bring one from the bucket; Damaged where not all of it is there."""
        assert self._mirror is not None
        new, there = self._folder / f"{name}.new", self._mirror.within(name)
        shutil.rmtree(new, ignore_errors=True)
        try:
            for file in FILES:
                if not there.fetch(file, new / file):
                    raise Damaged(f"{file} is missing in {there.uri}")
        except CorruptObject as error:
            raise Damaged(str(error)) from error
        new.rename(self._folder / name)

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
        except (OSError, NoSpace) as error:
            warn("checkpoint", f"no checkpoint was written: {error}; the run goes on without it")
        self._writing = None
