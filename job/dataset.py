"""A data set: checked rows in an Arrow file on disk, never in memory at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from serving.encoding import Text

_BATCH = 1024
"""Rows written or read at a time."""


@dataclass(frozen=True)
class Dataset:
    """Some rows of an Arrow file with the columns `text`, `text_pair` (null unless pairs) and `target`."""

    chunks: tuple[pa.RecordBatch, ...]
    """All rows of the file, `_BATCH` in each chunk but the last."""
    rows: NDArray[np.int64]
    """Positions in the file, in the order they are used."""
    pair: bool

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, positions: Sequence[int] | NDArray[np.int64]) -> "Dataset":
        """The examples at these positions of this selection."""
        return Dataset(self.chunks, self.rows[np.asarray(positions, dtype=np.int64)], self.pair)

    def batches(self, size: int = _BATCH) -> Iterator[tuple[list[Text], list[Any]]]:
        """Texts and targets, `size` rows at a time."""
        for part in self._parts(["text", "text_pair", "target"], size):
            yield self._texts(part), part["target"].to_pylist()

    def texts(self) -> list[Text]:
        """All texts; only for selections known to be small."""
        return [text for part in self._parts(["text", "text_pair"]) for text in self._texts(part)]

    def targets(self) -> list[Any]:
        """All targets, without the texts; equal ones are one object, so that a million labels are a few."""
        seen: dict[Any, Any] = {}
        found: list[Any] = []
        for part in self._parts(["target"]):
            for target in part["target"].to_pylist():
                found.append(seen.setdefault(tuple(target) if isinstance(target, list) else target, target))
        return found

    def _parts(self, columns: list[str], size: int = _BATCH) -> Iterator[pa.Table]:
        chunks = [chunk.select(columns) for chunk in self.chunks]
        for start in range(0, len(self.rows), size):
            yield _take(chunks, self.rows[start : start + size])

    def _texts(self, part: pa.Table) -> list[Text]:
        first = part["text"].to_pylist()
        return list(zip(first, part["text_pair"].to_pylist(), strict=True)) if self.pair else first


def _take(chunks: Sequence[pa.RecordBatch], rows: NDArray[np.int64]) -> pa.Table:
    """These rows in their order. Arrow's own take over a table copies all of its chunks into one first."""
    order = np.argsort(rows, kind="stable")
    numbers, places = np.divmod(rows[order], _BATCH)
    taken = [chunks[number].take(places[numbers == number]) for number in np.unique(numbers)]
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return pa.Table.from_batches(taken).take(back)


def open_dataset(path: Path, *, pair: bool) -> Dataset:
    """All rows of a finished file, memory-mapped: not read into memory, the columns point into the file."""
    file = pa.ipc.open_file(pa.memory_map(str(path)))
    chunks = tuple(file.get_batch(number) for number in range(file.num_record_batches))
    return Dataset(chunks, np.arange(sum(chunk.num_rows for chunk in chunks), dtype=np.int64), pair)


class DatasetWriter:
    """Writes examples to an Arrow file, a batch at a time."""

    def __init__(self, path: Path, target: pa.DataType) -> None:
        self._schema = pa.schema([("text", pa.large_string()), ("text_pair", pa.large_string()), ("target", target)])
        self._writer = pa.ipc.new_file(str(path), self._schema)
        self._pending: list[dict[str, Any]] = []

    def add(self, text: Text, target: Any) -> None:
        """Append one example."""
        first, second = (text, None) if isinstance(text, str) else text
        self._pending.append({"text": first, "text_pair": second, "target": target})
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
