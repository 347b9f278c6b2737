"""What is done of a run once its weights are learned: files that are whole, and what was found of them."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from tunewright.job.checkpoints.digest import digest
from tunewright.job.checkpoints.mirror import Mirror
from tunewright.job.checkpoints.sender import Sender
from tunewright.job.progress.events import say
from tunewright.registry.errors import CorruptObject
from tunewright.registry.stores.disk_space import flush
from tunewright.registry.transfer.download import sha256_of

Result = TypeVar("Result")
FORMAT = 1
BUNDLE, RECORDS, CHECKPOINTS = "bundle", "stages", "checkpoints"
"""Folders of a run."""


@dataclass(frozen=True)
class Form(Generic[Result]):
    """How JSON says what a stage found."""

    dump: Callable[[Result], object]
    load: Callable[[Any], Result]
    """Raises ValueError, TypeError or KeyError for what `dump` has not made."""


@dataclass(frozen=True)
class _Record:
    """What is kept of a stage."""

    key: str
    """A digest of what it is of."""
    files: dict[str, str]
    """Those that it made, by their paths in the bundle, with their sha256."""
    result: object


class Stages:
    """The stages of one run, each with a record that is written last and names the files that it made.

    A record is believed where it is of the same weights, settings and earlier stages, and its files are the ones that
    were written. Without a folder nothing is kept, and every stage is done.
    """

    def __init__(self, folder: Path | None = None, mirror: Mirror | None = None) -> None:
        self._folder, self._mirror = folder, mirror
        self._sender = Sender("a finished stage")
        self._chain = ""

    def begin(self, of: object) -> None:
        """What all stages are of: the weights, and what decided them."""
        self._chain = digest([FORMAT, of])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until what is done is in the bucket too, or what is being sent where the run ends here."""
        self._sender.wait(cancel=error is not None)

    def once(
        self, name: str, form: Form[Result], make: Callable[[], Result], *, of: object = None, files: bool = False
    ) -> Result:
        """What this stage found, which is done where that is not known. `of`: what it depends on besides earlier ones;
        `files`: whether it makes the files of the bundle."""
        key = digest([self._chain, name, of])
        record = self._record(name, key)
        found = self._loaded(form, record)
        if found is None:
            found = (make(),)
            record = _Record(key, self._digests() if files else {}, form.dump(found[0]))
            self._keep(name, record)
        else:
            say("stage", f"{name} is done already, and is not done again", stage=name)
        assert record is not None
        self._chain = digest(asdict(record))
        return found[0]

    @staticmethod
    def _loaded(form: Form[Result], record: _Record | None) -> tuple[Result] | None:
        try:
            return (form.load(record.result),) if record else None
        except (ValueError, TypeError, KeyError):
            return None

    def _digests(self) -> dict[str, str]:
        if self._folder is None:
            return {}
        bundle = self._folder / BUNDLE
        paths = sorted(path for path in bundle.rglob("*") if path.is_file())
        return {path.relative_to(bundle).as_posix(): sha256_of(path) for path in paths}

    def _record(self, name: str, key: str) -> _Record | None:
        """What is known of a stage, where it is of the same and its files are whole."""
        if self._folder is None:
            return None
        path = self._folder / RECORDS / f"{name}.json"
        if not path.is_file() and self._mirror:
            self._mirror.fetch(f"{RECORDS}/{name}.json", path)
        try:
            whole = json.loads(path.read_bytes())
            record = _Record(**whole["stage"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if whole.get("sha256") != digest(asdict(record)) or record.key != key:
            return None
        return record if not record.files or self._are_whole(name, record.files) else None

    def _are_whole(self, name: str, files: dict[str, str]) -> bool:
        """Whether the files of the bundle are those; others are removed, as they would be published with them."""
        assert self._folder is not None
        bundle = self._folder / BUNDLE
        for path in [path for path in bundle.rglob("*") if path.is_file()]:
            if path.relative_to(bundle).as_posix() not in files:
                path.unlink()
        for file, sha256 in files.items():
            if not self._is_whole(bundle / file, file, sha256):
                say("stage", f"{name} is done again: {bundle / file} is not the file that was written")
                return False
        return True

    def _is_whole(self, path: Path, file: str, sha256: str) -> bool:
        if path.is_file() and sha256_of(path) == sha256:
            return True
        try:
            return self._mirror is not None and self._mirror.fetch(f"{BUNDLE}/{file}", path, sha256=sha256)
        except CorruptObject:
            return False

    def _keep(self, name: str, record: _Record) -> None:
        if self._folder is None:
            return
        for file in record.files:
            flush(self._folder / BUNDLE / file)
        folder = self._folder / RECORDS
        folder.mkdir(exist_ok=True)
        new = folder / f"{name}.new"
        new.write_text(json.dumps({"stage": asdict(record), "sha256": digest(asdict(record))}) + "\n")
        flush(new)
        new.replace(folder / f"{name}.json")
        flush(folder)
        if self._mirror:
            sent = [*(f"{BUNDLE}/{file}" for file in record.files), f"{RECORDS}/{name}.json"]
            root, mirror = self._folder, self._mirror
            self._sender.submit(lambda: mirror.send(root, sent))
