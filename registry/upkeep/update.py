"""Bring a folder that holds an older version of a model up to a newer one: only what is not alike moves.

A record beside the files tells which version they are, and with which digest each was pulled: a file that somebody has
changed since is told from one that the older version had. The order, which a crash may end anywhere:

1. what is missing is downloaded beside the files, every digest checked; until here the folder is what it was;
2. the record says that files of both versions are ours;
3. `model.json`, where there is one, goes out of the way, so that no program begins to read what is of two versions;
4. each file is replaced by a rename, what the newer version does not have is removed, `model.json` comes last;
5. the record says that the folder is the newer version.

Said again after a crash, the rest is done. A new folder is filled in the same order, from a record without files.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from tunewright.registry.errors import BadReference, Conflict, CorruptObject
from tunewright.registry.progress import moved, transfer
from tunewright.registry.stores.disk_space import flush
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.download import download, sha256_of
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.document import seal, unseal, wrong
from tunewright.registry.versions.layout import Digest, Name, Number, blob_key
from tunewright.registry.versions.manifest import Layer, check_path
from tunewright.registry.versions.numbered import EXACT
from tunewright.registry.versions.pull import writable
from tunewright.registry.versions.record import Version

RECORD = ".tunewright-pull.json"
_STAGING = ".tunewright-update"
_FIRST = "model.json"
"""What programs read first of a version."""


@dataclass(frozen=True)
class Record:
    """What is known of a folder that was pulled."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Name
    number: Number
    digest: Digest  # of the manifest
    variant: Annotated[str, Field(max_length=256)] | None  # None: all of them
    files: Mapping[str, list[Digest]]  # by path; two digests of a file that is just being replaced


_RECORD = TypeAdapter(Record)


@dataclass(frozen=True)
class Updated:
    """What an update has done."""

    before: int  # the number of the version that was there
    moved: tuple[Layer, ...]
    removed: tuple[str, ...]


def read_record(folder: Path) -> Record | None:
    """The record of a folder; None where there is none. Raises CorruptObject."""
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        fields = unseal(path.read_bytes(), str(path))
    except CorruptObject as error:
        raise CorruptObject(f"{error}; remove it, and pull into an empty folder") from None
    if fields.pop("format", None) != 1:
        raise CorruptObject(f"{path} is of a later program; update this one, or pull into an empty folder")
    try:
        read = _RECORD.validate_python(fields)
        for name in read.files:
            check_path(name)
    except (ValidationError, BadReference) as error:
        what = wrong(error) if isinstance(error, ValidationError) else error
        raise CorruptObject(f"{path} is not the record of a pull: {what}; pull into an empty folder") from None
    return read


def write_record(folder: Path, version: Version, layers: Sequence[Layer], variant: str | None) -> None:
    """Keep what was pulled; what was pulled of the same version before stays part of it."""
    files = {layer.path: [layer.digest] for layer in layers}
    before = read_record(folder)
    if before and before.digest == version.digest:
        files = {**before.files, **files}
        variant = variant if variant == before.variant else None
    _write(folder, Record(version.name, version.number, version.digest, variant, files))


def begin(folder: Path, version: Version, variant: str | None) -> Record:
    """The record of a folder that `update` is to fill: should it be cut off, what it has brought is known as ours."""
    record = Record(version.name, version.number, version.digest, variant, {})
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, record)
    return record


def update(
    store: Store,
    version: Version,
    layers: Sequence[Layer],
    folder: Path,
    record: Record,
    *,
    force: bool,
    variant: str | None,
) -> Updated:
    """Make a folder that was pulled before hold these files of a version, and none that only the older one had.

    Raises Conflict where somebody has changed a file, or put one where the version has another, unless `force`.
    """
    if record.name != version.name:
        raise Conflict(f"{folder} holds {record.name}:{record.number}, which is no version of {version.name}")
    new = {layer.path: layer for layer in layers}
    moving = [layer for layer in layers if digest_at(folder / layer.path) != layer.digest]
    gone = [path for path in record.files if path not in new]
    if not force:
        _refuse_changed(folder, record, [layer.path for layer in moving] + gone)
    done = Updated(record.number, tuple(moving), tuple(gone))
    with writable(folder):
        if moving or gone:
            _switch(store, folder, record, new, done)
        _write(
            folder,
            Record(
                version.name,
                version.number,
                version.digest,
                variant,
                {path: [layer.digest] for path, layer in new.items()},
            ),
        )
    return done


def _switch(store: Store, folder: Path, record: Record, new: Mapping[str, Layer], done: Updated) -> None:
    staging = folder / _STAGING

    def stage(layer: Layer) -> None:
        sha256 = layer.digest.removeprefix("sha256:")
        if digest_at(staging / sha256) == layer.digest:
            moved("received", layer.size)
            return
        if layer not in done.moved:  # the first file, which is alike
            moved("received", layer.size)
            shutil.copyfile(folder / layer.path, staging / sha256)
            return
        download(store, blob_key(layer.digest), staging / sha256, sha256=sha256, size=layer.size)

    first = [new[_FIRST]] if _FIRST in new else []
    placing = [layer for layer in done.moved if layer not in first] + first
    staging.mkdir(exist_ok=True)
    blobs = {layer.digest: layer for layer in placing}.values()
    with transfer(str(folder), sum(layer.size for layer in blobs), "received"):
        each(stage, blobs)
    both = {
        path: sorted({*record.files.get(path, []), *([new[path].digest] if path in new else [])})
        for path in {**record.files, **new}
    }
    _write(folder, Record(record.name, record.number, record.digest, record.variant, both))
    (folder / _FIRST).unlink(missing_ok=True)
    for path in done.removed:
        _remove(folder, path)
    for number, layer in enumerate(placing):
        again = any(later.digest == layer.digest for later in placing[number + 1 :])
        _place(staging / layer.digest.removeprefix("sha256:"), folder / layer.path, is_needed_again=again)
    shutil.rmtree(staging)


def _refuse_changed(folder: Path, record: Record, paths: Sequence[str]) -> None:
    """Conflict where what would be replaced or removed is not what was pulled."""
    for path in paths:
        found = digest_at(folder / path)
        if found is not None and found not in record.files.get(path, []):
            raise Conflict(
                f"{folder / path} is not as {record.name}:{record.number} has it: somebody has changed it; keep it "
                "elsewhere, or replace it with --force"
            )


def digest_at(path: Path) -> str | None:
    """The digest of a file; None where there is none. What is no file has none that could be asked for."""
    try:
        return f"sha256:{sha256_of(path)}"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        return "a folder"


def _place(staged: Path, target: Path, *, is_needed_again: bool) -> None:
    """Have the staged bytes at the target, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_needed_again:
        copied = staged.with_name(f"{staged.name}.{os.getpid()}")
        shutil.copyfile(staged, copied)
        staged = copied
    staged.replace(target)
    flush(target.parent)


def _remove(folder: Path, path: str) -> None:
    """A file of the older version, and the folders that are empty without it."""
    target = folder / path
    target.unlink(missing_ok=True)
    for parent in target.parents:
        if parent == folder or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()


def _write(folder: Path, record: Record) -> None:
    path = folder / RECORD
    temporary = path.with_name(f"{RECORD}.{os.getpid()}")
    temporary.write_bytes(seal({"format": 1, **asdict(record)}))
    temporary.replace(path)
    flush(folder)
