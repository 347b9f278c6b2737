"""A version as a folder of this machine: pulled, mounted as an image, or filled by an init container or KServe.

Nothing but the folder is needed: no registry, no credentials, nowhere to write. Where the record of a pull lies there,
it says which version this is, and every file is compared with the digest that it has in that version.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tunewright.registry.errors import BadReference, NotFound
from tunewright.registry.upkeep.update import RECORD, Record, read_record
from tunewright.registry.versions import watch
from tunewright.registry.versions.record import Version, moment
from tunewright.serving.bundle.model_file import MODEL_FILE, choose_variant, read_model_file
from tunewright.serving.errors import BundleError

_UNUSED = ("weights/", "report/")
"""Of a version, but not of what is served."""
_GRAPHS = "onnx/"
_UNKNOWN = 0
"""The number of a version that no record names; those of a registry begin with 1."""


@dataclass(frozen=True)
class Folder:
    """The folder of a version, and what tells which one it is."""

    path: Path
    version: Version
    record: Record | None
    """None where it was not pulled from a registry by this program."""


def is_folder(reference: str) -> bool:
    """Whether a reference is a folder of this machine: it has a slash, which no name has, or is `.` or `..`."""
    path = reference.rpartition("=")[2]
    return path in (".", "..") or ("/" in path and "://" not in path and not path.startswith("models:"))


def name_of(reference: str) -> str:
    """The model that a reference is about; that of a folder without a record, or a name of its own, is the folder's.
    BadReference, BundleError."""
    with hinting(reference):
        return _named(reference)[0] if is_folder(reference) else watch.name_of(reference)


@contextmanager
def hinting(reference: str) -> Iterator[None]:
    """Where a name is not there, and a folder is called so, its path is told as a hint."""
    try:
        yield
    except (BadReference, NotFound) as error:
        given, equals, path = reference.rpartition("=")
        if is_folder(reference) or not Path(path).is_dir():
            raise
        raise type(error)(f"{error}; did you mean the folder {given}{equals}./{path}?") from None


def moves(reference: str) -> bool:
    """Whether it may point elsewhere one day; a folder does not. BadReference."""
    return not is_folder(reference) and watch.moves(reference)


def open_folder(reference: str) -> Folder:
    """The folder of a reference, `PATH` or `NAME=PATH`. BadReference, BundleError, CorruptObject of its record."""
    name, path, record = _named(reference)
    size = sum(file.stat().st_size for file in _files(path).values())
    made = moment((path / MODEL_FILE).stat().st_mtime)
    number, digest = (record.number, record.digest) if record else (_UNKNOWN, _digest_of(path))
    return Folder(path, Version(name, number, digest, "", made, size), record)


def check_folder(folder: Folder, variant: str | None) -> str:
    """The name of the variant to serve: the one asked for, else the default. BundleError where a file that it needs is
    not the one of the version."""
    model = read_model_file(folder.path)
    name = choose_variant(model, variant)
    inside = f"{PurePosixPath(model.variants[name].file).parent}/"
    recorded = folder.record.files if folder.record else {}
    if not (folder.path / model.variants[name].file).is_file() and not any(one.startswith(inside) for one in recorded):
        held = [one for one, told in sorted(model.variants.items()) if (folder.path / told.file).is_file()]
        what = f"it holds {', '.join(held)}, of which SERVING_VARIANT names one" if held else "it holds none at all"
        raise BundleError(f"{folder.path} holds no graph of the variant {name} ({model.variants[name].file}); {what}")
    if folder.record is None:
        return name
    needed = {path for path in folder.record.files if _is_needed(path, inside)}
    there = {path: file for path, file in _files(folder.path).items() if _is_needed(path, inside)}
    for path in sorted(needed | set(there)):
        _check_file(folder, path, there.get(path))
    return name


def _is_needed(path: str, inside: str) -> bool:
    return not path.startswith(_UNUSED) and (path.startswith(inside) or not path.startswith(_GRAPHS))


def _check_file(folder: Folder, path: str, file: Path | None) -> None:
    digests = folder.record.files.get(path) if folder.record else None
    if file is None:
        fault = f"has no {path}, which {folder.version} holds"
    elif not digests:
        fault = f"holds {path}, which {folder.version} does not"
    elif _sha256(file) not in digests:
        fault = f"holds another {path} than {folder.version}: its digest is not that of the pull"
    else:
        return
    raise BundleError(f"{folder.path} {fault}; pull the version again, into an empty folder")


def _named(reference: str) -> tuple[str, Path, Record | None]:
    """The name, the folder, and its record."""
    given, equals, text = reference.rpartition("=")
    if equals and not given:
        raise BadReference(f"{reference!r} has no name before its =; expected reviews={text}, or {text} alone")
    path = Path(text).expanduser().absolute()
    if not path.is_dir():
        what = "a file" if path.exists() else "not there"
        raise BadReference(f"{path} is {what}; expected the folder of a version, with its {MODEL_FILE}")
    if not (path / MODEL_FILE).is_file():
        raise BundleError(f"{path} holds no {MODEL_FILE}, so it is no folder of a version; {_inside(path)}")
    record = read_record(path)
    if given:
        return _checked(given), path, record
    return (record.name if record else _name_from(path)), path, record


def _name_from(path: Path) -> str:
    try:
        return _checked(path.name)
    except BadReference:
        raise BadReference(
            f"{path} tells no name: it has no record of a pull ({RECORD}), and no model can be called as the folder "
            f"is; say it, as in reviews={path}"
        ) from None


def _checked(name: str) -> str:
    if watch.name_of(name) != name:
        raise BadReference(f"{name!r} is no name alone; what stands before a folder is a name, as in reviews=/models")
    return name


def _inside(path: Path) -> str:
    """What is there instead."""
    below = sorted(found.parent for found in path.glob(f"*/{MODEL_FILE}"))
    if below:
        return f"did you mean {below[0]}?"
    names = sorted(entry.name for entry in path.iterdir())
    return f"it holds {', '.join(names[:10])}" if names else "it is empty: was it pulled, or mounted, at all?"


def _files(path: Path) -> dict[str, Path]:
    """Every file by its path in the version. What begins with a dot is of those who have filled or mounted it."""
    found = {file.relative_to(path): file for file in path.rglob("*") if file.is_file()}
    return {
        inside.as_posix(): file
        for inside, file in sorted(found.items())
        if not any(part.startswith(".") for part in inside.parts)
    }


def _digest_of(path: Path) -> str:
    """What tells these files from others, where no record tells the digest of a manifest."""
    told = {inside: _sha256(file) for inside, file in _files(path).items() if not inside.startswith(_UNUSED)}
    return f"sha256:{hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()}"


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
