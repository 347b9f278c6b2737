"""Arrow to rows: the files of `datasets` (streams) and of others (with a footer), a batch at a time."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from tunewright.job.data.readers.columnar.messages import declared, open_arrow
from tunewright.job.data.readers.columnar.values import CELL_BYTES, FREE_BYTES, rows_of
from tunewright.job.data.readers.content import refuse_other_content
from tunewright.job.data.readers.lines import expansion_fault, expansion_limit
from tunewright.job.data.readers.reader import Layout, Reader, Row
from tunewright.job.errors import DataError

_END = bytes(4)
"""How a stream ends, and no batch before it; a file cut off between two batches lacks it."""


def read_arrow(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    """The rows of a file. DataError for one that is not whole, or unpacks to too much."""
    refuse_other_content(path, address, "arrow")
    limit = expansion_limit(path, layout.max_expansion, FREE_BYTES)
    try:
        with open_arrow(path) as source:
            values = size = 0
            for told in declared(source):
                values, size = values + told.values, size + told.size
                if max(size, values * CELL_BYTES) > limit:
                    raise expansion_fault(address, limit)
            _check_end(source)
        with open_arrow(path) as source, pa.ipc.open_stream(source) as stream:
            yield from rows_of(map(_sound, stream), stream.schema, address, layout, limit)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{address} is not a whole Arrow file: {reason}; copy or write it again") from error


def _check_end(source: pa.NativeFile) -> None:
    """A stream without an end is read as if it had one."""
    source.seek(source.tell() - len(_END))
    if source.read(len(_END)) != _END:
        raise ValueError("it ends before its last row")


def _sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Arrow takes the offsets in a file as they are, and would read where they point."""
    batch.validate(full=True)
    return batch


ARROW = Reader("arrow", read_arrow, (".arrow",), unit="row", settings=frozenset(), is_text=False)
