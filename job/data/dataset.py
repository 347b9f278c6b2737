"""A data set: checked rows in an Arrow file on disk, never in memory at once."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from tunewright.job.data.label_lists import LabelLists

Values = list[Any]
"""Inputs or targets of some rows, of the type that the task chose."""
ROWS_FILE = "data-00000-of-00001.arrow"
"""How the file of a folder is called that `datasets.load_from_disk` opens."""
_STATE: dict[str, object] = {
    "_data_files": [{"filename": ROWS_FILE}],
    "_format_columns": None,
    "_format_kwargs": {},
    "_format_type": None,
    "_output_all_columns": False,
}
_LABELS = pa.list_(pa.string())
"""How targets that are labels, or tags, are kept."""
_BATCH = 1024
"""Rows written or read at a time."""


_LINES = 2**40
"""More than a file has lines: a place is kept as one number."""


class Place(NamedTuple):
    """Where a row stood."""

    file: int
    """Which of the files of its setting, from 0."""
    line: int
    """What an error calls its number; 0 where the row was not read from a file."""


@dataclass(frozen=True)
class Dataset:
    """Some rows of an Arrow file with the columns `input` and `target`, of types the task chose, `place`, and `kept`
    where more columns were asked for."""

    chunks: tuple[pa.RecordBatch, ...]
    """All rows of the file, `_BATCH` in each chunk but the last."""
    rows: NDArray[np.int64]
    """Positions in the file, in the order they are used."""

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, positions: Sequence[int] | NDArray[np.int64]) -> "Dataset":
        """The examples at these positions of this selection."""
        return Dataset(self.chunks, self.rows[np.asarray(positions, dtype=np.int64)])

    def batches(self, size: int = _BATCH) -> Iterator[tuple[Values, Values]]:
        """Inputs and targets, `size` rows at a time; an input that is a list comes as a tuple."""
        for part in self._parts(["input", "target"], size):
            yield _inputs(part), part["target"].to_pylist()

    def digest(self) -> str:
        """Of all inputs, in their order."""
        made = hashlib.sha256()
        for inputs, _ in self.batches():
            made.update(repr(inputs).encode())
        return made.hexdigest()

    def inputs(self) -> Values:
        """All inputs; only for selections known to be small."""
        return [value for part in self._parts(["input"]) for value in _inputs(part)]

    def targets(self) -> Sequence[Any]:
        """All targets, without the inputs; labels take a few bytes a row."""
        found = chain.from_iterable(self.target_parts())
        of_labels = bool(self.chunks) and self.chunks[0].schema.field("target").type == _LABELS
        return LabelLists(found) if of_labels else list(found)

    def target_parts(self) -> Iterator[Values]:
        """The targets, without the inputs, some rows at a time."""
        return (part["target"].to_pylist() for part in self._parts(["target"]))

    def places(self) -> list["Place"]:
        """Where each example stood in the files of its setting; only for selections known to be small."""
        numbers = (number for part in self._parts(["place"]) for number in part["place"].to_pylist())
        return [Place(*divmod(number, _LINES)) for number in numbers]

    def kept(self) -> list[list[str]]:
        """The values of the columns that were kept beside input and target, in the order of their names."""
        return [values for part in self._parts(["kept"]) for values in part["kept"].to_pylist()]

    def _parts(self, columns: list[str], size: int = _BATCH) -> Iterator[pa.Table]:
        chunks = [chunk.select(columns) for chunk in self.chunks]
        for start in range(0, len(self.rows), size):
            yield _take(chunks, self.rows[start : start + size])


def strings(value: object) -> Iterator[str]:
    """All texts of an input, whatever its shape; what is no text as Python writes it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from strings(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from strings(part)
    elif value is not None:
        yield str(value)


def _inputs(part: pa.Table) -> Values:
    return [tuple(value) if isinstance(value, list) else value for value in part["input"].to_pylist()]


def _take(chunks: Sequence[pa.RecordBatch], rows: NDArray[np.int64]) -> pa.Table:
    """These rows in their order, in slices of the chunks: nothing is copied, and a few rows cost what they are."""
    breaks = np.flatnonzero((np.diff(rows) != 1) | (rows[1:] % _BATCH == 0)) + 1
    starts = np.concatenate([np.zeros(1, dtype=np.int64), breaks])
    lengths = np.diff(np.append(starts, len(rows)))
    numbers, places = np.divmod(rows[starts], _BATCH)
    slices = zip(numbers.tolist(), places.tolist(), lengths.tolist(), strict=True)
    return pa.Table.from_batches([chunks[number].slice(place, length) for number, place, length in slices])


def open_dataset(path: Path) -> Dataset:
    """All rows of a finished file, memory-mapped: not read into memory, the columns point into the file."""
    chunks = tuple(pa.ipc.open_stream(pa.memory_map(str(path))))
    return Dataset(chunks, np.arange(sum(chunk.num_rows for chunk in chunks), dtype=np.int64))


def write_state(folder: Path, split: str | None, fingerprint: str) -> None:
    """What stands beside the rows of a folder; the library names its caches after the fingerprint."""
    state = _STATE | {"_fingerprint": fingerprint[:16], "_split": split}
    (folder / "state.json").write_text(json.dumps(state))


_NOWHERE = Place(0, 0)


class DatasetWriter:
    """Writes examples to an Arrow stream, as `datasets` opens it, a batch at a time."""

    def __init__(self, path: Path, types: tuple[pa.DataType, pa.DataType], *, keeps: bool = False) -> None:
        """`keeps`: whether values of more columns are kept with each example."""
        kept = [("kept", pa.list_(pa.string()))] if keeps else []
        self._schema = pa.schema([("input", types[0]), ("target", types[1]), ("place", pa.int64()), *kept])
        self._writer = pa.ipc.new_stream(str(path), self._schema)
        self._pending: list[dict[str, object]] = []

    def add(self, value: object, target: object, place: Place = _NOWHERE, kept: Sequence[str] = ()) -> None:
        """Append one example."""
        number = place.file * _LINES + place.line
        self._pending.append({"input": value, "target": target, "place": number, "kept": kept})
        if len(self._pending) == _BATCH:
            self._flush()

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._pending, schema=self._schema))
            self._pending = []
