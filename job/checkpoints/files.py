"""A checkpoint as files: tensors, facts, and a manifest that says what the others must be."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tunewright.job.checkpoints.digest import digest
from tunewright.job.checkpoints.mirror import FACTS, MANIFEST
from tunewright.registry.stores.disk_space import check_room, disk_full, flush, is_disk_full
from tunewright.registry.transfer.download import sha256_of

FORMAT = 1
"""Number of the format: one that is newer is refused."""
_TENSORS = "tensors.safetensors"
FILES = (_TENSORS, FACTS, MANIFEST)
"""All of a checkpoint, in the order in which they are written."""


class Damaged(Exception):
    """A checkpoint is not what was written; `str()` of it says what is wrong, without the checkpoint's name."""


class Foreign(Exception):
    """A checkpoint is whole and cannot be used here; `str()` of it says why, without the checkpoint's name."""


@dataclass(frozen=True)
class Snapshot:
    """The state of something at one moment."""

    tensors: Mapping[str, torch.Tensor]
    """On the processor, and changed by nobody any more."""
    facts: Mapping[str, object]
    """The rest, as JSON has it."""


@dataclass(frozen=True)
class Identity:
    """What a checkpoint is one of: it is of use to no other run."""

    settings: Mapping[str, object]
    """All that decides what is learned, by name."""
    data: str
    """A digest of the rows and of the base model."""


@dataclass(frozen=True)
class _Manifest:
    """What a manifest says, `format` and all."""

    format: int
    settings: Mapping[str, object]
    data: str
    threads: int
    versions: Mapping[str, str]
    files: Mapping[str, str]


def write(snapshot: Snapshot, identity: Identity, folder: Path) -> None:
    """Write a checkpoint: `folder`, which is not there yet, is there when all of it is on the disk, and not before.

    Raises NoSpace where it does not fit, and leaves nothing of it.
    """
    needed = sum(tensor.numel() * tensor.element_size() for tensor in snapshot.tensors.values())
    check_room(folder.parent, needed)
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        _write(snapshot, identity, new)
        new.rename(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        fault = of_the_system(error)
        if is_disk_full(fault):
            raise disk_full(folder.parent, needed) from error
        raise fault from error
    flush(folder.parent)


def of_the_system(error: OSError | SafetensorError) -> OSError:
    """What the system refused, also where safetensors says it in words of its own."""
    if isinstance(error, OSError):
        return error
    found = re.search(r"(?:os error|code:) (\d+)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(str(error))


def _write(snapshot: Snapshot, identity: Identity, new: Path) -> None:
    new.mkdir(parents=True)
    save_file(dict(snapshot.tensors), new / _TENSORS)
    (new / FACTS).write_text(json.dumps(snapshot.facts))
    about = asdict(
        _Manifest(
            format=FORMAT,
            settings=identity.settings,
            data=identity.data,
            threads=torch.get_num_threads(),
            versions=_versions(),
            files={name: sha256_of(new / name) for name in (_TENSORS, FACTS)},
        )
    )
    (new / MANIFEST).write_text(json.dumps({"checkpoint": about, "sha256": digest(about)}, indent=2) + "\n")
    for name in (*FILES, "."):
        flush(new / name)


def read(folder: Path, identity: Identity) -> tuple[Snapshot, str]:
    """A checkpoint, and what differs here from where it was written, such as the threads; empty where nothing does.

    Raises Damaged or Foreign.
    """
    about = _manifest(folder)
    _check(about, identity)
    for name, stated in about.files.items():
        if _sha256(folder / name) != stated:
            raise Damaged(f"{name} is not the file that was written: its sha256 differs")
    try:
        # Copies: what is mapped from a file changes with the file.
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / _TENSORS).items()}
        facts = json.loads((folder / FACTS).read_bytes())
    except (OSError, ValueError, SafetensorError) as error:
        raise Damaged(f"it cannot be read: {error}") from error
    return Snapshot(tensors, facts), _differs(about)


def _manifest(folder: Path) -> _Manifest:
    try:
        whole = json.loads((folder / MANIFEST).read_bytes())
        if whole["sha256"] != digest(whole["checkpoint"]):
            raise Damaged(f"{MANIFEST} is not the file that was written: its sha256 differs")
        if (number := whole["checkpoint"]["format"]) != FORMAT:
            raise Foreign(f"it is of format {number}, and this version of the job reads format {FORMAT}")
        return _Manifest(**whole["checkpoint"])
    except FileNotFoundError as error:
        raise Damaged(f"{MANIFEST} is missing") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{MANIFEST} cannot be read: {error}") from error


def _check(about: _Manifest, identity: Identity) -> None:
    """Refuse a checkpoint of something else."""
    asked = dict(identity.settings)
    for name in sorted(asked.keys() | about.settings.keys()):
        if (there := about.settings.get(name)) != (here := asked.get(name)):
            raise Foreign(f"it is of other settings: {name} is {there!r} there and {here!r} here")
    if about.data != identity.data:
        raise Foreign("it is of other data or another base model")


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except FileNotFoundError as error:
        raise Damaged(f"{path.name} is missing") from error
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror}") from error


def _differs(about: _Manifest) -> str:
    """What of this machine may round otherwise."""
    there = {"threads": str(about.threads), **about.versions}
    here = {"threads": str(torch.get_num_threads()), **_versions()}
    return ", ".join(
        f"{name} {there.get(name)} there and {here[name]} here" for name in here if there.get(name) != here[name]
    )


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("torch", "transformers", "tunewright")}
