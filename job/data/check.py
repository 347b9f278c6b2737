"""Rows checked and cleaned into data sets on disk, before any weight is loaded.

Every row is read; what is wrong with single rows is counted by kind and told at once, with the place of the first.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tunewright.job.data.cells import Cells, Tally
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.data.dataset import Dataset, DatasetWriter, Place, open_dataset
from tunewright.job.data.faults import Faults, listed
from tunewright.job.data.layout import layout_of
from tunewright.job.data.readers.columnar.class_names import told_names
from tunewright.job.data.readers.formats import read_rows, unit_of
from tunewright.job.data.readers.reader import Layout, Row
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.data.sources.media import Fingerprint, Media
from tunewright.job.errors import DataError
from tunewright.job.progress.events import warn
from tunewright.job.settings.data import DataSettings


class Checking(Protocol):
    """What is asked of a task while rows are checked."""

    @property
    def forms(self) -> tuple[Form, ...]:
        """The sets of columns it can learn from; the first where the settings name none."""

    @property
    def media(self) -> str:
        """Role of the column that names files; empty where there is none."""

    @property
    def options(self) -> type[Options]:
        """The task's own settings."""

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """Arrow types of a checked input and of a checked target."""

    def read(self, cells: "Cells") -> tuple[object, object]:
        """Input and target of one row, checked; of no use where a fault was counted or the row is left out."""

    def identity(self, value: object) -> str:
        """Equal for inputs that must not stand on two sides."""


@dataclass(frozen=True)
class Checked:
    """The rows of one setting (train, validation or test), checked."""

    data: Dataset
    keys: NDArray[np.uint64]
    """One number per row, equal for rows whose texts are equal but for case."""
    files: list[SourceFile]
    dropped: int
    """Rows without text that were left out on request."""
    left_out: Mapping[str, int]
    """Other rows that were left out on request: why, and how many."""
    media: list[Fingerprint]
    """For each table of files: how many files its rows name, their bytes and one digest of all of them."""
    classes: tuple[str, ...] = ()
    """The names that a file gives the numbers of its labels, in the order of these."""


@dataclass
class _Reading:
    """One pass over the files of a setting."""

    task: Checking
    writer: DatasetWriter
    tally: Tally
    # Not a list, so that a row costs eight bytes (Python 3.11 cannot subscript `array` itself).
    keys: "array[int]" = field(default_factory=lambda: array("Q"))
    file: int = 0
    """Which of the files is read, from 0."""
    dropped: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    bare: list[str] = field(default_factory=list)
    """Files without a row."""
    is_complete: bool = False
    """Whether a row of the file has all columns."""

    def take_all(self, rows: Iterable[tuple[Row, str]], address: str) -> None:
        """Take every row of a file."""
        is_bare = True
        self.tally.lacking, self.is_complete = Faults(), False
        for row, place in rows:
            is_bare = False
            self.take(row, place)
        if is_bare:
            self.bare.append(address)
        if not self.is_complete:
            # What no row has is no empty cell but another name.
            self.tally.faults.add_all(self.tally.lacking)

    def take(self, row: Row, place: str) -> None:
        """Check one row and write it, or count what is wrong with it."""
        if row.is_empty and self.tally.settings.drop_empty:
            self.dropped += 1
            return
        if row.fault:
            self.tally.faults.add(row.fault, f"{place} value {row.found}:" if row.found else place, row.hint)
            return
        cells = Cells(self.tally, row, place)
        try:
            found = self.task.read(cells)
        except RecursionError:
            self.tally.faults.add("holds a value that is nested too deeply", place)
            return
        self.is_complete |= not cells.is_lacking
        kept = cells.kept()
        if cells.is_dropped:
            # Whatever else is wrong with a row that is left out does not matter.
            self.left_out[cells.reason] += bool(cells.reason)
            self.dropped += not cells.reason
            return
        cells.tell()
        if cells.is_faulty:
            return
        self.writer.add(*found, Place(self.file, row.line), kept)
        self.keys.append(_number(self.task.identity(found[0])))


def check(
    files: list[SourceFile],
    task: Checking,
    roles: Roles,
    settings: DataSettings,
    target: Path,
    *,
    labels: list[str] | None = None,
    classes: tuple[str, ...] = (),
    options: Options | None = None,
    cache: Path = Path(),
    kept: tuple[str, ...] = (),
    of_model: bool = False,
) -> Checked:
    """Read and check the files of one setting into an Arrow file; DataError tells all that is wrong.

    `labels` are those of the training rows where no others are allowed, `classes` the names that the training files
    give the numbers of their labels. `kept`: columns whose values are kept with each row. `of_model`: whether the
    labels are those of a model that was taught elsewhere.
    """
    media: list[Fingerprint] = []
    with closing(DatasetWriter(target, task.arrow_types(roles), keeps=bool(kept))) as writer:
        known = dict.fromkeys(labels) if labels is not None else None
        tally = Tally(roles, settings, options or task.options(), known, of_model=of_model)
        reading = _Reading(task, writer, tally)
        layouts = [layout_of(file.address, settings, roles, file.path, kept=kept) for file in files]
        told = [told_names(file.path, one).get(roles.target, ()) for file, one in zip(files, layouts, strict=True)]
        tally.known_classes = classes or next(filter(None, told), ())
        for reading.file, (file, tally.layout, tally.classes) in enumerate(zip(files, layouts, told, strict=True)):
            named = Media(file, roles.inputs[task.media], cache) if task.media else None
            reading.take_all(_rows(file, named, tally.layout), file.address)
            media += [named.fingerprint()] if named else []
        tally.faults.raise_any()
    if reading.bare and len(reading.bare) < len(files):
        have = "file has" if len(reading.bare) == 1 else "files have"
        warn("data", f"{len(reading.bare):,} {have} no rows ({listed(reading.bare, 3)})")
    _warn_notes(tally)
    data = open_dataset(target)
    if not len(data):
        left = {"without text": reading.dropped, **reading.left_out}
        dropped = "".join(f" besides {count:,} {why}" for why, count in left.items() if count)
        raise DataError(f"{', '.join(file.address for file in files)}: no rows{dropped}")
    keys = np.frombuffer(reading.keys, dtype=np.uint64)
    return Checked(data, keys, files, reading.dropped, reading.left_out, media, tally.known_classes)


def _warn_notes(tally: Tally) -> None:
    """Tell what is odd and does not keep rows from being used."""
    for what, count in tally.notes.items():
        example = tally.examples.get(what)
        warn(
            "data",
            f"{what}: {count:,} {'row' if count == 1 else 'rows'}" + (f"; {example}" if example else ""),
            rows=count,
        )
    if joined := tally.joined.sentence(tally.settings.label_separator):
        warn("data", f"column {tally.roles.target!r}: {joined}")


def _rows(file: SourceFile, media: Media | None, layout: Layout) -> Iterator[tuple[Row, str]]:
    """Every row of a file with its place."""
    unit = unit_of(file.address, layout)
    for row in read_rows(file.path, file.address, layout) if media is None else media.rows(layout):
        yield row, f"{file.address}, {unit} {row.line}:"


def _number(identity: str) -> int:
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "little")
