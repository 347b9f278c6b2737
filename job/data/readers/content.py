"""What a file is by its first bytes, where that is another thing than its name says."""

from pathlib import Path

from tunewright.job.errors import DataError

PARQUET_FILE = b"PAR1"
ARROW_FILE = b"ARROW1"
"""How a file of Arrow begins that has a footer."""
ARROW_STREAM = b"\xff\xff\xff\xff"
_BINARY = {"parquet": ((PARQUET_FILE,), "Parquet"), "arrow": ((ARROW_FILE, ARROW_STREAM), "Arrow")}
"""How the files of formats begin that are no text."""
_KINDS = (
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet (.xlsx); unpack it, or save the sheet as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet (.xls); save the sheet as CSV (UTF-8)"),
    (PARQUET_FILE, "Parquet; name it *.parquet, or add `format: parquet` under data:"),
    (ARROW_FILE, "an Arrow file; name it *.arrow, or add `format: arrow` under data:"),
    (ARROW_STREAM, "an Arrow stream; name it *.arrow, or add `format: arrow` under data:"),
    (b"BZh", "compressed with bzip2; unpack it, or compress it with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it, or compress it with gzip"),
    (b"\xfd7zXZ", "compressed with xz; unpack it, or compress it with gzip"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"%PDF", "a PDF; its text has to be taken out first"),
    (b"SQLite format 3", "an SQLite database; write the table as CSV"),
    (b"\x89PNG", "a picture; set data.format to imagefolder and name its folder"),
    (b"\xff\xd8\xff", "a picture; set data.format to imagefolder and name its folder"),
    (b"\x80\x04", "a Python pickle, which is never read; write it as Parquet or CSV"),
    (b"\x93NUMPY", "a numpy array, which is not read; write it as Parquet or CSV"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself: `git lfs pull` fetches that"),
)
"""How files begin, and what to do with those that are no text."""
_LONGEST = max(len(start) for start, _ in _KINDS)


def refuse_other_content(path: Path, address: str, kind: str) -> None:
    """DataError for a file that is read as text and is something else, or as Parquet or Arrow and is none."""
    with path.open("rb") as file:
        start = file.read(_LONGEST)
    found = next((what for mark, what in _KINDS if start.startswith(mark)), None)
    if kind in _BINARY:
        marks, name = _BINARY[kind]
        if start.startswith(marks):
            return
        found = found or f"not a whole {name} file: it does not begin as one; copy or write it again"
    if found:
        raise DataError(f"{address} is {found}")
