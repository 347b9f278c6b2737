"""Where data comes from: files, globs and folders, local or in a bucket, fetched once into a verified cache."""

import fnmatch
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.hidden import not_hidden
from tunewright.job.data.readers.formats import KNOWN_NAMES, format_of
from tunewright.job.errors import DataError
from tunewright.job.inside import leaves
from tunewright.job.progress import bar, say, warn
from tunewright.job.settings.job import Sources
from tunewright.registry.address import shown_address
from tunewright.registry.errors import AddressError, NotFound
from tunewright.registry.stores.key import check_key
from tunewright.registry.stores.store import Stat, Store, open_store
from tunewright.registry.transfer.download import download, sha256_of

_GLOB = re.compile(r"[*?\[]")
_NEIGHBOURS = 5
"""Names that an error shows when the one asked for is not there."""


@dataclass(frozen=True)
class SourceFile:
    """One data file on the local disk, with what identifies its bytes."""

    address: str
    """What the user would call it: a path or s3://bucket/key."""
    path: Path
    sha256: str
    size: int

    def __fspath__(self) -> str:
        return str(self.path)


def fetch(sources: Sources, cache: Path) -> list[SourceFile]:
    """The local files behind one data setting, in the order of their names. DataError when there are none."""
    files: list[SourceFile] = []
    for source in [sources] if isinstance(sources, str) else sources:
        files += _fetch_bucket(source, cache) if source.startswith("s3://") else _fetch_local(source)
    return files


def files_at(source: str) -> dict[str, int]:
    """The address of every file at a place, whatever it holds, with its bytes: one, what a glob matches, or a folder's.

    DataError where there is none. Hidden and empty files are left out, and said.
    """
    if source.startswith("s3://"):
        bucket, _, key = source.removeprefix("s3://").partition("/")
        store = open_store(f"s3://{bucket}", foreign=True)
        return {f"s3://{bucket}/{one.key}": one.size for one in _objects(store, key, source, pick=_all_in_folder)}
    _refuse_scheme(source)
    folder = Path(source).expanduser()
    try:
        if not folder.is_dir():
            return {str(path): path.stat().st_size for path in _local_files(source)}
        names = sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())
        sizes = {name: (folder / name).stat().st_size for name in not_hidden(names, source)}
    except OSError as error:
        raise DataError(
            f"data source {source!r}: {error.filename or source} cannot be read: {error.strerror}"
        ) from error
    if not sizes:
        raise DataError(f"data source {source!r} is a folder without a file")
    return {f"{source.rstrip('/')}/{name}": sizes[name] for name in _not_empty(sizes, source)}


def _refuse_scheme(source: str) -> None:
    if "://" in source:
        raise DataError(
            f"data source {shown_address(source)!r} is not a place to read from; use a path or s3://bucket/key"
        )


def _fetch_local(source: str) -> list[SourceFile]:
    _refuse_scheme(source)
    try:
        paths = _local_files(source)
        return [SourceFile(str(found), found, sha256_of(found), found.stat().st_size) for found in paths]
    except OSError as error:
        raise DataError(
            f"data source {source!r}: {error.filename or source} cannot be read: {error.strerror}"
        ) from error


def _local_files(source: str) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_dir():
        return _data_files(path, source)
    if path.is_file():
        return [path]
    found = Path(path.anchor).glob(str(path).removeprefix(path.anchor)) if _GLOB.search(source) else iter(())
    names = sorted(str(one) for one in found if one.is_file())
    sizes = {name: Path(name).stat().st_size for name in not_hidden(names, source, path.parts)}
    if not sizes:
        raise DataError(f"data source {source!r}: no such file{beside(path)}")
    return [Path(name) for name in _not_empty(sizes, source)]


def _data_files(folder: Path, source: str) -> list[Path]:
    found = sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())
    sizes = {name: (folder / name).stat().st_size for name in not_hidden(found, source)}
    files = [folder / name for name in _not_empty(sizes, source)]
    names = _readable([path.name for path in files], source)
    data = [path for path in files if path.name in names]
    outside = [path for path in data if leaves(folder, path)]
    if outside:
        raise DataError(
            f"data source {source!r}: {outside[0].relative_to(folder)} is a link to a file outside the folder; "
            "put the file itself there, or name its own path"
        )
    if not data:
        raise DataError(
            f"data source {source!r} is a folder without a data file; data files are named {KNOWN_NAMES}; a glob such "
            f"as {folder}/* takes others too"
        )
    _warn_of_splits([path.name for path in data], source)
    return data


def _not_empty(sizes: Mapping[str, int], source: str) -> list[str]:
    """The names of the files that hold a byte; the others are counted in one line."""
    empty = [name for name, size in sizes.items() if not size]
    if empty and len(empty) == len(sizes):
        raise DataError(f"data source {source!r}: every file is empty ({listed(empty, 3)})")
    if empty:
        count = f"{len(empty):,} empty file{'' if len(empty) == 1 else 's'}"
        say("data", f"{source}: {count} passed over ({listed(empty, 3)})", empty=len(empty))
    return [name for name, size in sizes.items() if size]


def _readable(names: Sequence[str], source: str) -> set[str]:
    """Which of the names in a folder are those of data; notes in plain text are data only where nothing else is."""
    formats = {name: format_of(name) for name in names}
    tables = {name for name, kind in formats.items() if kind not in (None, "text")}
    data = tables or {name for name, kind in formats.items() if kind}
    say_ignored([name for name in names if name not in data], source)
    return data


SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("dev", "devel", "valid", "validation", "val", "eval", "trial"), "validation"
)
"""How files are named after the side of the data that they hold."""


def _warn_of_splits(names: Sequence[str], source: str) -> None:
    """A folder that holds all splits is read as one of them."""
    found = {name: SPLITS.get(re.split(r"[-_.]", name.lower())[0]) for name in names}
    if len({split for split in found.values() if split}) > 1:
        told = listed(sorted(name for name, split in found.items() if split), 4)
        warn("data", f"{source}: {told} look like splits of one data set and are read together; name each one's file")


def say_ignored(names: Sequence[str], source: str) -> None:
    """Tell which files of a folder are left out."""
    if names:
        say("data", f"{source}: files that are not data are not read ({listed(names, 3)})", left_out=len(names))


def beside(path: Path) -> str:
    """What an error says of a path that is not there: the names that are."""
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    names = sorted(one.name for one in path.parent.iterdir())[:_NEIGHBOURS]
    return f"; {path.parent} holds {', '.join(names) or 'nothing'}"


def _fetch_bucket(source: str, cache: Path) -> list[SourceFile]:
    bucket, _, key = source.removeprefix("s3://").partition("/")
    store = open_store(f"s3://{bucket}", foreign=True)
    objects = _objects(store, key, source, pick=_in_folder)
    with bar("download", sum(one.size for one in objects)) as advance:
        return [fetch_object(store, one, f"s3://{bucket}/{one.key}", cache / "data", advance) for one in objects]


_Pick = Callable[[Sequence[Stat], str, str], list[Stat]]
"""The objects of a folder that are taken."""


def _objects(store: Store, key: str, source: str, *, pick: _Pick) -> list[Stat]:
    if match := _GLOB.search(key):
        folder = key[: match.start()].rpartition("/")[0]
        objects = store.list(folder + "/" if folder else "")
        matching = {one.key: one for one in objects if one.key == key or _matches(one.key.split("/"), key.split("/"))}
        found = _worth_reading(matching, source, key.split("/"))
    else:
        found = _object_or_folder(store, key, source, pick)
    if not found:
        above = key.rpartition("/")[0]
        names = [one.key for one in itertools.islice(store.list(above + "/" if above else ""), _NEIGHBOURS)]
        raise DataError(
            f"data source {shown_address(source)!r}: no such object, and no data file below that name; "
            f"{store.uri}/{above} holds {', '.join(names) or 'nothing'}"
        )
    return found


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Like a glob over folders: `*` stays within one name, `**` stands for any number of them."""
    if not names or not patterns:
        return not names and not patterns
    if patterns[0] == "**":
        return _matches(names, patterns[1:]) or _matches(names[1:], patterns)
    return fnmatch.fnmatchcase(names[0], patterns[0]) and _matches(names[1:], patterns[1:])


def _object_or_folder(store: Store, key: str, source: str, pick: _Pick) -> list[Stat]:
    folder = key if not key or key.endswith("/") else key + "/"
    if key and not key.endswith("/"):
        try:
            one = store.stat(key)
        except NotFound:
            # A missing bucket is told here by listing; a missing key may be the name of a folder.
            pass
        else:
            # An empty object of the folder's name is how some tools mark that there is a folder.
            if one.size or not any(True for _ in store.list(folder)):
                return [one]
    return pick(list(store.list(folder)), folder, source)


def _all_in_folder(objects: Sequence[Stat], folder: str, source: str) -> list[Stat]:
    return _worth_reading({one.key.removeprefix(folder): one for one in objects}, source)


def _in_folder(objects: Sequence[Stat], folder: str, source: str) -> list[Stat]:
    """The data files of a folder in a bucket."""
    inside = _worth_reading({one.key.removeprefix(folder): one for one in objects}, source)
    names = _readable([PurePosixPath(one.key).name for one in inside], source)
    data = [one for one in inside if PurePosixPath(one.key).name in names]
    _warn_of_splits([PurePosixPath(one.key).name for one in data], source)
    return data


def _worth_reading(named: Mapping[str, Stat], source: str, asked: Sequence[str] = ()) -> list[Stat]:
    """The objects that are neither hidden nor empty, and whose keys can be asked for."""
    usable = [name for name, one in named.items() if _is_usable(one.key)]
    odd = [name for name in named if name not in set(usable)]
    if odd:
        warn("data", f"{source}: {_keys(len(odd))} '.', '..' or control characters and cannot be read, such as "
             f"{shown(odd[0])}", left_out=len(odd))  # fmt: skip
    sizes = {name: named[name].size for name in not_hidden(usable, source, asked)}
    return [named[name] for name in _not_empty(sizes, source)]


def _is_usable(key: str) -> bool:
    try:
        check_key(key, foreign=True)
    except AddressError:
        return False
    return True


def _keys(count: int) -> str:
    return f"{count:,} key{' holds' if count == 1 else 's hold'}"


def fetch_object(store: Store, one: Stat, address: str, cache: Path, advance: Callable[[int], None]) -> SourceFile:
    """The object from the cache when its ETag and its digest still match, else downloaded."""
    path = cache / hashlib.sha256(f"{address}\n{one.etag}\n{one.size}".encode()).hexdigest()[:32]
    record = path.with_suffix(".json")
    digest = _recorded(record)
    if digest is not None and path.is_file() and sha256_of(path) == digest:
        advance(one.size)
        return SourceFile(address, path, digest, one.size)
    got = download(store, one.key, path, on_bytes=advance)
    _write_record(record, address, got.sha256)
    return SourceFile(address, path, got.sha256, got.size)


def _recorded(record: Path) -> str | None:
    """The digest in a record; None where there is none that can be read."""
    try:
        return str(json.loads(record.read_bytes())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_record(record: Path, address: str, sha256: str) -> None:
    new = record.with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps({"address": address, "sha256": sha256}))
    new.replace(record)
