"""Data files to rows: tables, JSON, CoNLL columns, SQuAD, plain text and folders of media, read as a stream.

A fault that hides where rows begin (an encoding, a quote) ends the reading at once; anything else is left to
`job.check`, which counts. Line numbers are those an editor shows, from 1.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from job.conll import read_conll
from job.errors import DataError
from job.json_array import read_array
from job.lines import LINE_LIMIT, expansion_fault, expansion_limit, lines, open_data, pieces
from job.media_folder import MEDIA, class_row, metadata_row
from job.plain_text import read_text
from job.rows import Layout as Layout
from job.rows import Row as Row
from job.squad import read_squad

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

_PARQUET_ROWS = 64
"""Rows decoded at a time: a value of a dictionary may stand in every row and is copied for each."""


def format_of(name: str) -> str | None:
    """The format a file name promises, None for a name of no known format."""
    plain = name.lower().removesuffix(".gz")
    found = next((kind for suffix, kind in _FORMATS.items() if plain.endswith(suffix)), None)
    return None if found == "parquet" and name.lower().endswith(".gz") else found


def unit_of(address: str, layout: Layout) -> str:
    """What `Row.line` counts in a file of this address: lines, rows, questions or files."""
    if layout.format in MEDIA:
        inner = format_of(address)
        return unit_of(address, replace(layout, format=inner)) if inner else "file"
    return {"json": "row", "parquet": "row", "squad": "question"}.get(layout.format, "line")


def read_rows(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    """The rows of one file. DataError, naming `address` and the line, for a file that cannot be read on."""
    if layout.format in MEDIA:
        yield from _read_media(path, address, layout)
        return
    if layout.format == "parquet":
        yield from _read_parquet(path, address, layout)
        return
    with open_data(path, address, layout.max_expansion) as file:
        if layout.format == "json":
            yield from _read_json(pieces(file, address), address)
        elif layout.format == "squad":
            yield from read_squad(pieces(file, address), address)
        else:
            yield from _READERS[layout.format](lines(file, address), address, layout)


def _read_media(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    """The rows of a metadata table, or of the list of files that stands for a folder of classes."""
    kind = format_of(address)
    inner = replace(layout, format=kind or "jsonl", quoting=kind == "csv")
    as_media = metadata_row if kind else class_row
    for row in read_rows(path, address, inner):
        yield as_media(row, MEDIA[layout.format])


def _read_json(text: Iterator[str], address: str) -> Iterator[Row]:
    for number, value in enumerate(read_array(text, address), 1):
        yield _json_row(number, value)


def _read_table(text: Iterator[str], address: str, layout: Layout) -> Iterator[Row]:
    csv.field_size_limit(LINE_LIMIT)
    rows = csv.reader(
        text,
        delimiter=layout.delimiter or ("\t" if layout.format == "tsv" else ","),
        quoting=csv.QUOTE_MINIMAL if layout.quoting else csv.QUOTE_NONE,
        strict=True,
    )
    names: list[str] | None = None
    start = 1
    while True:
        try:
            values = next(rows, None)
        except csv.Error as error:
            raise DataError(_quote_fault(address, start, rows.line_num, error, layout)) from error
        if values is None:
            return
        line, start = start, rows.line_num + 1
        if not values:
            continue
        if names is None:
            names = _names(values, address, layout)
            if layout.header:
                continue
        yield _table_row(line, names, values)


def _names(values: list[str], address: str, layout: Layout) -> list[str]:
    if not layout.header:
        return [str(position) for position in range(len(values))]
    names = [value.strip() for value in values]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{address}: the header names {twice[0]!r} more than once ({', '.join(names)})")
    return names


def _table_row(line: int, names: list[str], values: list[str]) -> Row:
    if len(values) != len(names):
        return Row(line, {}, f"has {len(values)} values where there are {len(names)} columns ({', '.join(names)})")
    return Row(line, dict(zip(names, values, strict=True)))


def _quote_fault(address: str, start: int, end: int, error: csv.Error, layout: Layout) -> str:
    hint = "double it inside a quoted value, or set data.quoting to false where quotes are plain text"
    if "unexpected end of data" in str(error):
        what = "a double quote is opened and never closed"
    elif "expected after" in str(error):
        what = "text stands after a closing double quote"
    elif "field larger" in str(error):
        what = f"a value is longer than {LINE_LIMIT:,} characters"
    else:
        what = "a carriage return stands inside a value" if "new-line character" in str(error) else str(error)
        hint = "end lines with LF or CRLF, and put values with line breaks in double quotes"
    where = f"line {start}" if end <= start else f"the row that starts in line {start}"
    return f"{address}, {where}: {what}; {hint}"


def _read_jsonl(text: Iterator[str], address: str, _: Layout) -> Iterator[Row]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except RecursionError:
            raise DataError(f"{address}, line {number} is nested too deeply") from None
        except ValueError as error:
            raise DataError(f"{address}, line {number} is not JSON: {getattr(error, 'msg', error)}") from error
        yield _json_row(number, value)


def _json_row(number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        return Row(number, {}, f"is a JSON {type(value).__name__}, not an object of columns")
    return Row(number, value)


def _read_parquet(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    limit = expansion_limit(path, layout.max_expansion)
    number = unpacked = 0
    try:
        with pq.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            if sum(file.metadata.row_group(index).total_byte_size for index in groups) > limit:
                raise expansion_fault(address, limit)
            for batch in map(_plain, file.iter_batches(batch_size=_PARQUET_ROWS)):
                unpacked += batch.nbytes
                if unpacked > limit:
                    raise expansion_fault(address, limit)
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, values)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{address} is not a whole Parquet file: {reason}; copy or write it again") from error


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with every value in full, so that its size is what Python is going to need."""
    columns = [
        column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


_READERS = {
    "csv": _read_table,
    "tsv": _read_table,
    "jsonl": _read_jsonl,
    "conll": read_conll,
    "conllu": read_conll,
    "text": read_text,
}
"""How the lines of a format are read."""
