"""The formats that data may have, and the rows of a file of any of them, read as a stream.

A fault that hides where rows begin (an encoding, a quote) ends the reading at once; anything else is left to
`job.data.check`, which counts. Line numbers are those an editor shows, from 1.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tunewright.job.data.readers.columnar.arrow import ARROW
from tunewright.job.data.readers.columnar.parquet import PARQUET
from tunewright.job.data.readers.conll import CONLL, CONLLU
from tunewright.job.data.readers.content import refuse_other_content
from tunewright.job.data.readers.documents.rows import JSON, JSONL
from tunewright.job.data.readers.documents.squad import SQUAD
from tunewright.job.data.readers.fasttext import FASTTEXT
from tunewright.job.data.readers.media_folder import FILE_NAME, MEDIA, class_row, metadata_row
from tunewright.job.data.readers.plain_text import TEXT
from tunewright.job.data.readers.reader import Layout, Reader, Row
from tunewright.job.data.readers.shape import holds_columns, shape_of
from tunewright.job.data.readers.tables.table import CSV, SETTINGS, TSV
from tunewright.job.errors import DataError
from tunewright.job.progress.events import say
from tunewright.registry.errors import PluginError
from tunewright.registry.plugins import Catalogue


def format_of(name: str) -> str | None:
    """The format a file name promises, None for a name of no known format; PluginError where two plug-ins have it."""
    plain = name.lower().removesuffix(".gz")

    def reads(reader: Reader) -> bool:
        return plain.endswith(reader.suffixes) and (reader.is_text or plain == name.lower())

    for reader in READERS.built_in.values():
        if reads(reader):
            return reader.name
    # Those of plug-ins are imported only where no other has the name.
    others = [one for one in READERS if one not in READERS.built_in] if PurePosixPath(plain).suffix else []
    found = [one for one in others if reads(READERS[one])]
    if len(found) > 1:
        claims = " and ".join(f"{one!r} of {READERS.requirement(one)}" for one in found)
        raise PluginError(f"{name}: the formats {claims} both claim files of this name; set data.format to one of them")
    return found[0] if found else None


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
    # A folder of media may have a table.
    inner = format_of(address) if layout.format in MEDIA else None
    return READERS[inner or layout.format].unit


def read_rows(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    """The rows of one file. DataError, naming `address` and the line, for a file that cannot be read on.

    Where the first row is not what is wanted the file is looked at, and the error says what it is instead.
    """
    reader = READERS[layout.format]
    rows = reader.read(path, address, layout)
    if not reader.is_text:
        yield from rows
        return
    refuse_other_content(path, address, reader.name)
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
    if shape and shape.format != layout.format and not (layout.format in (CSV.name, TSV.name) and shape.is_table):
        raise DataError(shape.sentence(address))


def _read_media(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    """The rows of a metadata table, or of the list of files that stands for a folder of classes."""
    kind = format_of(address)
    wanted = tuple(FILE_NAME if name == MEDIA[layout.format] else name for name in layout.wanted) if kind else ()
    inner = replace(layout, format=kind or JSONL.name, wanted=wanted)
    as_media = metadata_row if kind else class_row
    for row in read_rows(path, address, inner):
        yield as_media(row, MEDIA[layout.format])


_FOLDERS = [Reader(name, _read_media, unit="file", settings=SETTINGS, is_text=False) for name in MEDIA]
"""Of their settings the table of a folder is read with."""
_BUILT_IN = (CSV, TSV, JSON, JSONL, PARQUET, ARROW, CONLL, CONLLU, SQUAD, TEXT, FASTTEXT, *_FOLDERS)
READERS = Catalogue("reader", "tunewright.readers", Reader, {one.name: one for one in _BUILT_IN})
"""Every format by the name that `data.format` calls it by."""
KNOWN_NAMES = "*" + ", *".join(suffix for one in _BUILT_IN for suffix in one.suffixes)
KNOWN_NAMES += " (text formats also with .gz)"
