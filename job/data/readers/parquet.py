"""Parquet to rows: a batch at a time, the names of classes in place of their numbers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.class_names import class_names, named_row
from tunewright.job.data.readers.content import refuse_other_content
from tunewright.job.data.readers.lines import expansion_fault, expansion_limit
from tunewright.job.data.readers.reader import Layout, Reader, Row
from tunewright.job.errors import DataError
from tunewright.job.progress import say

_CELL_BYTES = 16
"""What a value takes at least once it is read."""
_FREE = 32 * 2**20
"""Bytes that any Parquet file may unpack to: equal values take almost none of the file."""
_ROWS = 64
"""Rows decoded at a time: a value of a dictionary may stand in every row and is copied for each."""


def read_parquet(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    """The rows of a file. DataError for one that is not whole, or unpacks to too much."""
    refuse_other_content(path, address, "parquet")
    limit = expansion_limit(path, layout.max_expansion, _FREE)
    number = unpacked = 0
    try:
        with pq.ParquetFile(path) as file:
            # A row of nulls takes no byte of the file, but as many in Python as any other.
            least = file.metadata.num_rows * max(1, file.metadata.num_columns) * _CELL_BYTES
            groups = range(file.metadata.num_row_groups)
            if max(least, sum(file.metadata.row_group(index).total_byte_size for index in groups)) > limit:
                raise expansion_fault(address, limit)
            names = class_names(file.schema_arrow.metadata) if layout.use_names else {}
            names = {column: names[column] for column in names if column in layout.wanted or not layout.wanted}
            _say_names(names, address)
            for batch in map(_plain, file.iter_batches(batch_size=_ROWS)):
                unpacked += batch.nbytes
                if unpacked > limit:
                    raise expansion_fault(address, limit)
                for values in _values(batch, address, layout.wanted):
                    number += 1
                    yield named_row(Row(number, values), names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{address} is not a whole Parquet file: {reason}; copy or write it again") from error


def _say_names(names: Mapping[str, Sequence[str]], address: str) -> None:
    for column, classes in names.items():
        say("data", f"{address}: the numbers in {column!r} stand for {listed(classes, 5)}, as the file itself tells")


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with every value in full, so that its size is what Python is going to need."""
    columns = [
        column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _values(batch: pa.RecordBatch, address: str, wanted: Sequence[str]) -> Iterator[dict[str, object]]:
    """The rows in values of Python; of a column that nobody asked for None, as Python may have no value for it."""
    names = batch.schema.names
    columns = [
        [None] * len(batch) if wanted and name not in wanted else _column(column, name, address)
        for name, column in zip(names, batch.columns, strict=True)
    ]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _column(column: pa.Array, name: str, address: str) -> list[object]:
    """Its values; DataError where Python has none: nanoseconds, the year 290,000, a time zone that is not installed."""
    try:
        values: list[object] = column.to_pylist()
    except UnicodeDecodeError:
        raise
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{address}: column {shown(name)} of type {shown(str(column.type))} has a value that cannot be read; write "
            "it as text or as a number"
        ) from error
    return values


PARQUET = Reader("parquet", read_parquet, (".parquet",), unit="row", settings=frozenset(), is_text=False)
