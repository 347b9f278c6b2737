"""JSON to rows: the objects of an array, or one a line."""

from collections.abc import Iterator

from tunewright.job.data.readers.documents.text import DECODER, read_array
from tunewright.job.data.readers.lines import of_lines, of_pieces
from tunewright.job.data.readers.reader import Layout, Reader, Row
from tunewright.job.data.readers.tables.header import MOST_COLUMNS
from tunewright.job.errors import DataError


def read_json(text: Iterator[str], address: str) -> Iterator[Row]:
    """The objects of the one array in the text. DataError where it is broken."""
    for number, value in enumerate(read_array(text, address), 1):
        yield json_row(number, value)


def read_jsonl(text: Iterator[str], address: str, _: Layout) -> Iterator[Row]:
    """The object of each line that holds one. DataError for a line that is not JSON."""
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


def json_row(number: int, value: object) -> Row:
    """A row of the columns of an object; a fault for anything else."""
    if not isinstance(value, dict):
        what = f"is a JSON {type(value).__name__}, not an object of columns"
        return Row(number, {}, what, is_empty=value is None or value in ("", []))
    if len(value) > MOST_COLUMNS:
        return Row(number, {}, f"has {len(value):,} columns; the limit is {MOST_COLUMNS:,}")
    return Row(number, value)


JSON = Reader("json", of_pieces(read_json), (".json",), unit="row")
JSONL = Reader("jsonl", of_lines(read_jsonl), (".jsonl", ".ndjson"))
