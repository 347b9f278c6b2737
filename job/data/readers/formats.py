"""Data files to rows: tables, JSON, CoNLL columns, SQuAD, plain text and folders of media, read as a stream.

A fault that hides where rows begin (an encoding, a quote) ends the reading at once; anything else is left to
`job.data.check`, which counts. Line numbers are those an editor shows, from 1.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.class_names import class_names, named_row
from tunewright.job.data.readers.conll import read_conll
from tunewright.job.data.readers.content import refuse_other_content
from tunewright.job.data.readers.fasttext import read_fasttext
from tunewright.job.data.readers.json_array import DECODER, read_array
from tunewright.job.data.readers.lines import expansion_fault, expansion_limit, lines, open_data, pieces
from tunewright.job.data.readers.media_folder import FILE_NAME, MEDIA, class_row, metadata_row
from tunewright.job.data.readers.plain_text import read_text
from tunewright.job.data.readers.row import Layout as Layout
from tunewright.job.data.readers.row import Row as Row
from tunewright.job.data.readers.shape import holds_columns, shape_of
from tunewright.job.data.readers.squad import read_squad
from tunewright.job.data.readers.tables.table import MOST_COLUMNS, read_table
from tunewright.job.errors import DataError
from tunewright.job.progress import say

_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".conll": "conll",
    ".conllu": "conllu",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".txt": "text",
    ".text": "text",
}
KNOWN_NAMES = "*" + ", *".join(_FORMATS) + " (text formats also with .gz)"

_TABLES = ("csv", "tsv")
_CELL_BYTES = 16
"""What a value takes at least once it is read."""
_FREE_PARQUET = 32 * 2**20
"""Bytes that any Parquet file may unpack to: equal values take almost none of the file."""
_PARQUET_ROWS = 64
"""Rows decoded at a time: a value of a dictionary may stand in every row and is copied for each."""


def format_of(name: str) -> str | None:
    """The format a file name promises, None for a name of no known format."""
    plain = name.lower().removesuffix(".gz")
    found = next((kind for suffix, kind in _FORMATS.items() if plain.endswith(suffix)), None)
    return None if found == "parquet" and name.lower().endswith(".gz") else found


def told_format(path: Path, address: str, layout: Layout) -> str | None:
    """The format that the content of a file tells, which is said; DataError for content that needs more than a format.

    None where nothing is told.
    """
    refuse_other_content(path, address, "")
    shape = shape_of(path, address, layout)
    if shape is None:
        return None
    if not shape.format:
        raise DataError(shape.sentence(address))
    say("data", f"{address}: read as {shape.what}, as its content shows (data.format: {shape.format})")
    return shape.format


def unit_of(address: str, layout: Layout) -> str:
    """What `Row.line` counts in a file of this address: lines, rows, questions or files."""
    if layout.format in MEDIA:
        inner = format_of(address)
        return unit_of(address, replace(layout, format=inner)) if inner else "file"
    return {"json": "row", "parquet": "row", "squad": "question"}.get(layout.format, "line")


def read_rows(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    """The rows of one file. DataError, naming `address` and the line, for a file that cannot be read on.

    Where the first row is not what is wanted the file is looked at, and the error says what it is instead.
    """
    if layout.format in MEDIA:
        yield from _read_media(path, address, layout)
        return
    refuse_other_content(path, address, layout.format)
    if layout.format == "parquet":
        yield from _read_parquet(path, address, layout)
        return
    rows = _read_text(path, address, layout)
    try:
        first = next(rows, None)
    except DataError:
        _refuse_other_shape(path, address, layout)
        raise
    found = None if first is None or first.fault else first.values
    if found is None or not set(layout.wanted) <= set(found) or holds_columns(found, layout):
        _refuse_other_shape(path, address, layout)
    yield from itertools.chain([] if first is None else [first], rows)


def _refuse_other_shape(path: Path, address: str, layout: Layout) -> None:
    shape = shape_of(path, address, layout)
    if shape and shape.format != layout.format and not (layout.format in _TABLES and shape.is_table):
        raise DataError(shape.sentence(address))


def _read_text(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    with open_data(path, address, layout.max_expansion) as file:
        if layout.format == "json":
            yield from _read_json(pieces(file, address, layout.encoding), address)
        elif layout.format == "squad":
            yield from read_squad(pieces(file, address, layout.encoding), address)
        else:
            yield from _READERS[layout.format](lines(file, address, layout.encoding), address, layout)


def _read_media(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    """The rows of a metadata table, or of the list of files that stands for a folder of classes."""
    kind = format_of(address)
    wanted = tuple(FILE_NAME if name == MEDIA[layout.format] else name for name in layout.wanted) if kind else ()
    inner = replace(layout, format=kind or "jsonl", quoting=kind == "csv", wanted=wanted)
    as_media = metadata_row if kind else class_row
    for row in read_rows(path, address, inner):
        yield as_media(row, MEDIA[layout.format])


def _read_json(text: Iterator[str], address: str) -> Iterator[Row]:
    for number, value in enumerate(read_array(text, address), 1):
        yield json_row(number, value)


def _read_jsonl(text: Iterator[str], address: str, _: Layout) -> Iterator[Row]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            value = DECODER.decode(line)
        except RecursionError:
            raise DataError(f"{address}, line {number} is nested too deeply") from None
        except ValueError as error:
            raise DataError(f"{address}, line {number} is not JSON: {getattr(error, 'msg', error)}") from error
        yield json_row(number, value)


def json_row(number: int, value: Any) -> Row:
    """A row of the columns of an object; a fault for anything else."""
    if not isinstance(value, dict):
        return Row(number, {}, f"is a JSON {type(value).__name__}, not an object of columns")
    if len(value) > MOST_COLUMNS:
        return Row(number, {}, f"has {len(value):,} columns; the limit is {MOST_COLUMNS:,}")
    return Row(number, value)


def _read_parquet(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    limit = expansion_limit(path, layout.max_expansion, _FREE_PARQUET)
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
            for batch in map(_plain, file.iter_batches(batch_size=_PARQUET_ROWS)):
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


def _values(batch: pa.RecordBatch, address: str, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows in values of Python; of a column that nobody asked for None, as Python may have no value for it."""
    names = batch.schema.names
    columns = [
        [None] * len(batch) if wanted and name not in wanted else _column(column, name, address)
        for name, column in zip(names, batch.columns, strict=True)
    ]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _column(column: pa.Array, name: str, address: str) -> list[Any]:
    """Its values; DataError where Python has none: nanoseconds, the year 290,000, a time zone that is not installed."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        raise
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{address}: column {shown(name)} of type {shown(str(column.type))} has a value that cannot be read; write "
            "it as text or as a number"
        ) from error
    return values


_READERS = {
    "csv": read_table,
    "tsv": read_table,
    "jsonl": _read_jsonl,
    "conll": read_conll,
    "conllu": read_conll,
    "text": read_text,
    "fasttext": read_fasttext,
}
"""How the lines of a format are read."""
