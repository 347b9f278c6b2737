"""Folders of images and recordings, local or in a bucket: the names in one, and a file by its name, never outside."""

import itertools
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from tunewright.job.data.sources.cache import SourceFile, fetch_object, fetched_once
from tunewright.job.data.sources.disk import beside
from tunewright.job.data.sources.hidden import is_hidden, not_hidden
from tunewright.job.data.sources.hub_files import SCHEME
from tunewright.job.errors import DataError
from tunewright.job.inside import leaves
from tunewright.job.relay import is_asking, once
from tunewright.registry.address import shown_address
from tunewright.registry.errors import AddressError, NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.transfer.download import sha256_of

_LISTED = 100_000
"""Objects that are known from listing a folder; each one beyond costs a request of its own."""
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class Refused(Exception):
    """A value that names no file of its folder."""

    def __init__(self, fault: str, hint: str) -> None:
        super().__init__(fault)
        self.fault, self.hint = fault, hint


_RELATIVE = "name files below the folder of the table, such as images/1.png"


def name_inside(value: object) -> str:
    """A relative name in its shortest form. Refused for anything else."""
    if value is None or value == "":
        raise Refused("is empty", "give every row a file, remove the row or set data.drop_empty")
    if not isinstance(value, str):
        raise Refused(f"is {type(value).__name__}, not the name of a file", _RELATIVE)
    if any(ord(one) < 32 or ord(one) == 127 or 0xD800 <= ord(one) < 0xE000 for one in value):
        raise Refused("holds control characters or is not valid Unicode", _RELATIVE)
    path = PurePosixPath(value)
    if "://" in value or path.is_absolute() or _DRIVE.match(value):
        raise Refused("is not relative to the folder of the table", _RELATIVE)
    if ".." in path.parts:
        raise Refused("leads out of the folder of the table", _RELATIVE)
    return str(path)


class Folder(Protocol):
    """A folder that ends its address with `/`."""

    address: str

    def names(self) -> Iterator[str]:
        """Every file in it, however deep, but hidden ones, in the byte order of the names; to be asked once."""

    def fetch(self, name: str) -> SourceFile:
        """One file. Refused when it is not there, or is a link that leads out."""


def open_folder(address: str, cache: Path) -> Folder:
    if address.startswith("s3://"):
        return _BucketFolder(address, cache)
    if address.startswith(SCHEME):
        return _HubFolder(address)
    if "://" in address:
        raise DataError(
            f"data source {shown_address(address)!r} is not a place to read from; use a folder or s3://bucket/folder"
        )
    return _LocalFolder(address)


class _LocalFolder:
    def __init__(self, address: str) -> None:
        self.address = address
        self._root = Path(os.path.realpath(Path(address).expanduser()))

    def names(self) -> Iterator[str]:
        if not self._root.is_dir():
            raise DataError(f"data source {self.address!r}: no such folder{beside(Path(self.address))}")
        try:
            yield from not_hidden(self._below(""), self.address)
        except OSError as error:
            raise DataError(
                f"data source {self.address!r}: {error.filename} cannot be read: {error.strerror}"
            ) from error

    def _below(self, folder: str) -> Iterator[str]:
        with os.scandir(self._root / folder) as entries:
            found = [(folder + entry.name + "/" * _is_folder(entry), entry) for entry in entries]
        for name, entry in sorted(found, key=lambda one: os.fsencode(one[0])):
            if not name.endswith("/"):
                yield name
            elif is_hidden(entry.name):
                # Not looked into: it may be large, or a link.
                yield name + "..."
            elif entry.is_symlink():
                raise DataError(
                    f"data source {self.address!r}: {name} is a symbolic link to a folder, which is not followed; "
                    "copy the folder there, or name it as a source of its own"
                )
            else:
                yield from self._below(name)

    def fetch(self, name: str) -> SourceFile:
        try:
            path = Path(os.path.realpath(self._root / name, strict=True))
            if leaves(self._root, path):
                raise Refused("is a symbolic link that leads out of the folder of the table", "copy the file there")
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise Refused("names something that is no file", _RELATIVE)
            return SourceFile(self.address + name, path, sha256_of(path), status.st_size)
        except OSError as error:
            raise Refused(f"names no file of {self.address} ({error.strerror})", _hint(name)) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # Asked of a link that leads in a circle, the entry itself would raise.
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


class _BucketFolder:
    def __init__(self, address: str, cache: Path) -> None:
        self.address = address
        bucket, _, self._prefix = address.removeprefix("s3://").partition("/")
        if is_asking():
            self._store, self._cache = open_store(f"s3://{bucket}", foreign=True), cache / "data"
            self._listing = self._store.list(self._prefix)
            self._known = {one.key: one for one in itertools.islice(self._listing, _LISTED)}

    def names(self) -> Iterator[str]:
        yield from once(f"the names in {self.address!r}", lambda: list(self._names()))

    def _names(self) -> Iterator[str]:
        found = itertools.chain(self._known.values(), self._listing)
        return not_hidden((one.key.removeprefix(self._prefix) for one in found), self.address)

    def fetch(self, name: str) -> SourceFile:
        [file] = fetched_once(f"data source {self.address + name!r}", lambda: [self._fetch(name)])
        return file

    def _fetch(self, name: str) -> SourceFile:
        key = self._prefix + name
        try:
            one = self._known.get(key) or self._store.stat(key)
        except (NotFound, AddressError) as error:
            raise Refused(f"names no file of {self.address}", _hint(name)) from error
        return fetch_object(self._store, one, self.address + name, self._cache, _nobody)


class _HubFolder:
    """The place of a table of the hub: its rows hold their files as bytes, and no other file is fetched."""

    def __init__(self, address: str) -> None:
        self.address = address

    def names(self) -> Iterator[str]:
        raise DataError(
            f"data source {self.address!r}: of the hub only tables are read; where they hold the files themselves, "
            "leave data.format out, else download the data set and name its folder"
        )

    def fetch(self, name: str) -> SourceFile:
        raise Refused("names a file of the hub, of which only tables are fetched", "download it and name its folder")


def _hint(name: str) -> str:
    return "write / between folders" if "\\" in name else _RELATIVE


def _nobody(_: int) -> None:
    return
