"""Parquet to rows: a batch at a time, the names of classes in place of their numbers."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tunewright.job.data.readers.columnar.values import CELL_BYTES, FREE_BYTES, ROWS, rows_of
from tunewright.job.data.readers.content import refuse_other_content
from tunewright.job.data.readers.lines import expansion_fault, expansion_limit
from tunewright.job.data.readers.reader import Layout, Reader, Row
from tunewright.job.errors import DataError


def read_parquet(path: Path, address: str, layout: Layout) -> Iterator[Row]:
    """The rows of a file. DataError for one that is not whole, or unpacks to too much."""
    refuse_other_content(path, address, "parquet")
    limit = expansion_limit(path, layout.max_expansion, FREE_BYTES)
    try:
        with pq.ParquetFile(path) as file:
            # A row of nulls takes no byte of the file, but as many in Python as any other.
            least = file.metadata.num_rows * max(1, file.metadata.num_columns) * CELL_BYTES
            groups = range(file.metadata.num_row_groups)
            if max(least, sum(file.metadata.row_group(index).total_byte_size for index in groups)) > limit:
                raise expansion_fault(address, limit)
            yield from rows_of(file.iter_batches(batch_size=ROWS), file.schema_arrow, address, layout, limit)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{address} is not a whole Parquet file: {reason}; copy or write it again") from error


PARQUET = Reader("parquet", read_parquet, (".parquet",), unit="row", settings=frozenset(), is_text=False)
