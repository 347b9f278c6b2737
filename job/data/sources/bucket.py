"""Data files of a bucket: one object, those that a glob matches, or those below a name."""

import fnmatch
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from tunewright.job.data.faults import shown
from tunewright.job.data.sources.cache import SourceFile, fetch_object
from tunewright.job.data.sources.hidden import not_hidden
from tunewright.job.data.sources.names import GLOB, NEIGHBOURS, not_empty, readable, warn_of_splits
from tunewright.job.data.sources.saved import refuse_splits, rows_of_saved
from tunewright.job.errors import DataError
from tunewright.job.progress.events import bar, warn
from tunewright.registry.address import shown_address
from tunewright.registry.errors import NotFound
from tunewright.registry.stores.key import is_key
from tunewright.registry.stores.store import Stat, Store, open_store

_Pick = Callable[[Store, Sequence[Stat], str, str], list[Stat]]
"""The objects of a folder that are taken."""


def fetch_bucket(source: str, cache: Path) -> list[SourceFile]:
    """The objects there, in the cache and in the order of their keys. DataError when there are none."""
    bucket, _, key = source.removeprefix("s3://").partition("/")
    store = open_store(f"s3://{bucket}", foreign=True)
    objects = _objects(store, key, source, pick=_in_folder)
    with bar("download", sum(one.size for one in objects)) as advance:
        return [fetch_object(store, one, f"s3://{bucket}/{one.key}", cache / "data", advance) for one in objects]


def sizes_in_bucket(source: str) -> dict[str, int]:
    """The address of every object there, whatever it holds, with its bytes. DataError where there is none."""
    bucket, _, key = source.removeprefix("s3://").partition("/")
    store = open_store(f"s3://{bucket}", foreign=True)
    return {f"s3://{bucket}/{one.key}": one.size for one in _objects(store, key, source, pick=_all_in_folder)}


def _objects(store: Store, key: str, source: str, *, pick: _Pick) -> list[Stat]:
    if match := GLOB.search(key):
        folder = key[: match.start()].rpartition("/")[0]
        objects = store.list(folder + "/" if folder else "")
        matching = {one.key: one for one in objects if one.key == key or _matches(one.key.split("/"), key.split("/"))}
        found = _worth_reading(matching, source, key.split("/"))
    else:
        found = _object_or_folder(store, key, source, pick)
    if not found:
        above = key.rpartition("/")[0]
        names = [one.key for one in itertools.islice(store.list(above + "/" if above else ""), NEIGHBOURS)]
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
    return pick(store, list(store.list(folder)), folder, source)


def _all_in_folder(store: Store, objects: Sequence[Stat], folder: str, source: str) -> list[Stat]:
    named = {one.key.removeprefix(folder): one for one in objects}
    rows = rows_of_saved(list(named), lambda name: store.read(folder + name), source)
    return _worth_reading({name: named[name] for name in rows}, source)


def _in_folder(store: Store, objects: Sequence[Stat], folder: str, source: str) -> list[Stat]:
    """The data files of a folder in a bucket."""
    refuse_splits([one.key.removeprefix(folder) for one in objects], lambda name: store.read(folder + name), source)
    inside = _all_in_folder(store, objects, folder, source)
    names = readable([PurePosixPath(one.key).name for one in inside], source)
    data = [one for one in inside if PurePosixPath(one.key).name in names]
    warn_of_splits([PurePosixPath(one.key).name for one in data], source)
    return data


def _worth_reading(named: Mapping[str, Stat], source: str, asked: Sequence[str] = ()) -> list[Stat]:
    """The objects that are neither hidden nor empty, and whose keys can be asked for."""
    usable = [name for name, one in named.items() if is_key(one.key, foreign=True)]
    odd = [name for name in named if name not in set(usable)]
    if odd:
        warn("data", f"{source}: {_keys(len(odd))} '.', '..' or control characters and cannot be read, such as "
             f"{shown(odd[0])}", left_out=len(odd))  # fmt: skip
    sizes = {name: named[name].size for name in not_hidden(usable, source, asked)}
    return [named[name] for name in not_empty(sizes, source)]


def _keys(count: int) -> str:
    return f"{count:,} key{' holds' if count == 1 else 's hold'}"
