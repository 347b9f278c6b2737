"""A folder that becomes a version as it is: its files, and the run id that they alone give."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from tunewright.registry.errors import AccessDenied, BadReference
from tunewright.registry.stores.store import Store
from tunewright.registry.upkeep.update import RECORD
from tunewright.registry.versions.document import canonical
from tunewright.registry.versions.manifest import check_path
from tunewright.registry.versions.publish import describe


def files_of(folder: Path) -> dict[str, Path]:
    """Every file below a folder, by its path in the version.

    Raises BadReference where there is none, and for what is no file and no folder, such as a link; AccessDenied.
    """
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise BadReference(f"{folder} is {what}; expected a folder with the files of a version")
    found: dict[str, Path] = {}
    for where, folders, names in os.walk(folder, onerror=_refuse):
        for name in sorted([*folders, *names]):
            path = Path(where, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise BadReference(
                    f"{path} is {'a link' if path.is_symlink() else 'no file'}; a version holds files and folders "
                    "alone: put what is meant there, or publish another folder"
                )
            if name.endswith(".part"):
                raise BadReference(
                    f"{path} is an unfinished download, as a pull leaves that was stopped: pull again until it is "
                    f"whole, or remove it (with {name}.json, where there is one), then publish"
                )
            if path.is_file() and name != RECORD:
                found[_checked(path.relative_to(folder).as_posix())] = path
    if not found:
        raise BadReference(f"{folder} holds no file; expected a folder with the files of a version")
    return found


def refuse_registry(store: Store, folder: Path) -> None:
    """BadReference for a folder that the registry itself lies in, which would be published into itself."""
    if "://" not in store.uri and Path(store.uri).resolve().is_relative_to(folder.resolve()):
        raise BadReference(f"{folder} holds the registry {store.uri} itself; publish a folder of files alone")


def run_id_of(files: Mapping[str, Path]) -> str:
    """The run id of whoever names none: the same files, under the same paths, are the same run. BadReference."""
    told = {layer.path: layer.digest for layer in describe(files)}
    return f"files-{hashlib.sha256(canonical(told)).hexdigest()[:32]}"


def _checked(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BadReference(f"the name {path!r} is not valid Unicode, so no version can hold it; rename it") from None
    return check_path(path)


def _refuse(error: OSError) -> None:
    raise AccessDenied(f"{error.filename} cannot be read ({error.strerror})") from error
