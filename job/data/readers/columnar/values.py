"""Columns of Arrow to rows of Python's values, never more of them than a limit allows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.columnar.class_names import class_names, named_row
from tunewright.job.data.readers.lines import expansion_fault
from tunewright.job.data.readers.reader import Layout, Row
from tunewright.job.errors import DataError
from tunewright.job.progress.events import say

CELL_BYTES = 16
"""What a value takes at least once it is read."""
FREE_BYTES = 32 * 2**20
"""Bytes that any file of columns may unpack to: equal values take almost none of the file."""
ROWS = 64
"""Rows decoded at a time: a value of a dictionary may stand in every row and is copied for each."""


def rows_of(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, address: str, layout: Layout, limit: int
) -> Iterator[Row]:
    """The rows of batches, with the names that the schema tells for numbers. DataError where they grow too large."""
    number = unpacked = 0
    names = class_names(schema.metadata) if layout.use_names else {}
    names = {column: names[column] for column in names if layout.reads(column)}
    _say_names(names, address)
    used = [place for place, name in enumerate(schema.names) if layout.reads(name)]
    for place in used:
        _refuse_kind(schema.field(place).type, schema.names[place], address)
    for batch in batches:
        for start in range(0, len(batch), ROWS):
            part = batch.slice(start, ROWS)
            unpacked += sum(_in_python(part.column(place)) for place in used)
            if unpacked > limit:
                raise expansion_fault(address, limit)
            for values in _values(part, address, layout):
                number += 1
                yield named_row(Row(number, values), names)


def _say_names(names: Mapping[str, Sequence[str]], address: str) -> None:
    for column, classes in names.items():
        say("data", f"{address}: the numbers in {column!r} stand for {listed(classes, 5)}, as the file itself tells")


def _refuse_kind(kind: pa.DataType, name: str, address: str) -> None:
    """DataError for a column whose size in Python cannot be told, as values may overlap in it."""
    parts = [kind.field(number).type for number in range(kind.num_fields)]
    overlap = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind) or pa.types.is_run_end_encoded(kind)
    if overlap or pa.types.is_union(kind):
        raise DataError(
            f"{address}: column {shown(name)} is of type {shown(str(kind))}, which is not read; write a list"
        )
    for part in parts:
        _refuse_kind(part, name, address)


def _in_python(array: pa.Array) -> int:
    """The bytes of the values in full: a dictionary or a view keeps one that stands in many rows once."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _in_python(array.storage)
    if pa.types.is_dictionary(kind):
        return _of_dictionary(array)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return _of_views(array)
    if pa.types.is_struct(kind):
        return sum(map(_in_python, array.flatten())) + len(array) * CELL_BYTES
    if pa.types.is_map(kind):
        array = array.cast(pa.list_(kind.field(0).type))
    if pa.types.is_list(array.type) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _in_python(array.flatten()) + len(array) * CELL_BYTES
    return max(int(array.nbytes), len(array) * CELL_BYTES if pa.types.is_null(kind) else 0)


def _of_dictionary(array: pa.DictionaryArray) -> int:
    values = array.dictionary
    if not len(values):
        return 0
    if pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):
        lengths = pa.array(_view_lengths(values))
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_binary(values.type):
        lengths = pc.binary_length(values)
    else:
        # Each place could hold the largest there is.
        return len(array) * _in_python(values)
    return int(pc.sum(lengths.take(array.indices)).as_py() or 0)


def _of_views(array: pa.Array) -> int:
    return int(_view_lengths(array).sum()) + len(array) * CELL_BYTES


def _view_lengths(array: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The first four of the sixteen bytes of a view are the length of its value."""
    views = np.frombuffer(array.buffers()[1], dtype="<i4")[::4]
    return views[array.offset : array.offset + len(array)].astype(np.int64)


def _values(batch: pa.RecordBatch, address: str, layout: Layout) -> Iterator[dict[str, object]]:
    """The rows in values of Python; of a column that nobody asked for None, as Python may have no value for it."""
    names = batch.schema.names
    columns = [
        _column(column, name, address) if layout.reads(name) else [None] * len(batch)
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
