"""The images and sounds that rows name: found in folders, fetched in parallel while the rows are read.

A name is relative to the folder of the table it stands in, local or in a bucket, and never leads out of it.
"""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TypedDict

from tunewright.job.data.faults import shown
from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.readers.media_folder import FILE_NAME, METADATA, SUFFIXES
from tunewright.job.data.readers.reader import Layout, Row
from tunewright.job.data.sources.cache import SourceFile, write_whole
from tunewright.job.data.sources.folders import Folder, Refused, name_inside, open_folder
from tunewright.job.data.sources.names import say_ignored
from tunewright.job.errors import DataError
from tunewright.job.progress.events import bar
from tunewright.job.settings.fields import Sources
from tunewright.registry.transfer.download import sha256_of

_THREADS = 16
_AHEAD = 64
"""Rows whose files may be under way at once."""


def find_folders(sources: Sources, kind: str, cache: Path) -> list[SourceFile]:
    """The tables of the folders behind one data setting: their metadata tables, else the list of their media files.

    `kind` is imagefolder or audiofolder. DataError for a folder that is not there or holds nothing of the kind.
    """
    files: list[SourceFile] = []
    for source in [sources] if isinstance(sources, str) else sources:
        files += _tables(open_folder(source.rstrip("/") + "/", cache), kind, cache)
    return files


class Fingerprint(TypedDict, total=False):
    """What identifies a file, or all files that the rows of a table name."""

    address: str
    files: int
    """How many there are."""
    sha256: str
    bytes: int


class Media:
    """The media files that the rows of one table name."""

    def __init__(self, table: SourceFile, column: str, cache: Path) -> None:
        self._table, self._column = table, column
        self._folder = open_folder((table.address.rpartition("/")[0] or ".") + "/", cache)
        self._recent: dict[str, Future[SourceFile]] = {}
        self._digest = hashlib.sha256()
        self._count = self._size = 0

    def rows(self, layout: Layout) -> Iterator[Row]:
        """The rows of the table, with a SourceFile that can be opened in the column, or its bytes, or with a fault.

        The files of the next rows are fetched meanwhile, into the cache, and checked like every other object.
        """
        total = sum(1 for _ in self._read(layout))
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="media")
        try:
            with bar("media", total) as advance:
                for row in self._in_order(self._read(layout), pool):
                    advance()
                    yield row
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def fingerprint(self) -> Fingerprint:
        """What identifies the files of the rows that were read: one digest over their names and digests, in order."""
        digest = self._digest.hexdigest()
        return {"address": self._folder.address, "files": self._count, "sha256": digest, "bytes": self._size}

    def _read(self, layout: Layout) -> Iterator[Row]:
        return read_rows(self._table.path, self._table.address, layout)

    def _in_order(self, rows: Iterable[Row], pool: ThreadPoolExecutor) -> Iterator[Row]:
        waiting: deque[tuple[Row, Future[SourceFile] | None]] = deque()
        for row in map(self._plain, rows):
            waiting.append((row, self._begin(row, pool)))
            if len(waiting) > _AHEAD:
                yield self._end(*waiting.popleft())
        while waiting:
            yield self._end(*waiting.popleft())

    def _plain(self, row: Row) -> Row:
        """Parquet of the library `datasets` holds {"bytes", "path"}, of which one is enough."""
        value = row.values.get(self._column)
        if not isinstance(value, dict) or set(value) != {"bytes", "path"}:
            return row
        one = value["path"] if value["bytes"] is None else value["bytes"]
        return replace(row, values={**row.values, self._column: one})

    def _begin(self, row: Row, pool: ThreadPoolExecutor) -> Future[SourceFile] | None:
        """Start to fetch the file that a row names; None when there is nothing to fetch."""
        if row.fault or self._column not in row.values or isinstance(row.values[self._column], bytes):
            return None
        try:
            name = name_inside(row.values[self._column])
        except Refused as refused:
            never: Future[SourceFile] = Future()
            never.set_exception(refused)
            return never
        # Several captions of one image often follow each other. What is older than the rows ahead is finished.
        if name not in self._recent:
            self._recent[name] = pool.submit(self._folder.fetch, name)
        if len(self._recent) > _AHEAD + 1:
            del self._recent[next(iter(self._recent))]
        return self._recent[name]

    def _end(self, row: Row, fetched: Future[SourceFile] | None) -> Row:
        if fetched is None:
            return row
        try:
            file = fetched.result()
        except Refused as refused:
            value = row.values[self._column]
            what = f"column {self._column!r} {refused.fault}"
            return Row(row.line, {}, what, shown(value), refused.hint, is_empty=value in (None, ""))
        self._count += 1
        self._size += file.size
        self._digest.update(f"{file.address.removeprefix(self._folder.address)}\n{file.sha256}\n".encode())
        return replace(row, values={**row.values, self._column: file})


def _tables(folder: Folder, kind: str, cache: Path) -> list[SourceFile]:
    names = list(folder.names())
    tables = [name for name in names if PurePosixPath(name).name in METADATA]
    media = [name for name in names if name.lower().endswith(SUFFIXES[kind])]
    _refuse_doubles(folder.address, tables)
    if not tables and not media:
        raise DataError(
            f"data source {folder.address!r} holds nothing that {kind} reads: files named "
            f"*{', *'.join(SUFFIXES[kind])}, in a sub-folder for each label or beside a {METADATA[0]}"
        )
    read = {*tables, *media}
    say_ignored([name for name in names if name not in read], folder.address)
    return _fetch_tables(folder, tables) if tables else [_write_list(folder.address, media, cache)]


def _refuse_doubles(address: str, tables: list[str]) -> None:
    counts = Counter(str(PurePosixPath(name).parent) for name in tables)
    twice = [name for name in tables if counts[str(PurePosixPath(name).parent)] > 1]
    if twice:
        raise DataError(f"data source {address!r} holds {' and '.join(twice)} for the same files; keep one")


def _fetch_tables(folder: Folder, tables: list[str]) -> list[SourceFile]:
    try:
        return [folder.fetch(name) for name in tables]
    except Refused as refused:
        raise DataError(
            f"data source {folder.address!r}: a metadata table {refused.fault}; {refused.hint}"
        ) from refused


def _write_list(address: str, names: list[str], cache: Path) -> SourceFile:
    """The names as a table of its own, under the address of their folder."""
    path = cache / "data" / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}.list"
    write_whole(path, "".join(json.dumps({FILE_NAME: name}) + "\n" for name in names))
    return SourceFile(address, path, sha256_of(path), path.stat().st_size)
