"""A folder of images or sounds as rows: a sub-folder for each class, or a table `metadata.*` with `file_name`.

The names in the rows are relative to the folder of the table, or to the folder itself; `job.data.sources` opens them.
"""

from dataclasses import replace
from pathlib import PurePosixPath

from tunewright.job.data.faults import listed, shown
from tunewright.job.data.readers.reader import Row

MEDIA = {"imagefolder": "image", "audiofolder": "audio"}
"""Formats of folders, and the column that holds the media file."""
SUFFIXES = {
    "imagefolder": tuple(".png .jpg .jpeg .bmp .gif .webp .tif .tiff .ppm .pgm".split()),
    "audiofolder": tuple(".wav .flac .ogg .mp3 .opus .aif .aiff .au".split()),
}
"""How the files that are read are named, in lower case."""
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Tables that describe the files of their folder, as the library `datasets` names them."""
FILE_NAME = "file_name"
"""The column of such a table that names the file."""


def class_row(row: Row, column: str) -> Row:
    """A listed file, whose label is the name of the one sub-folder it stands in."""
    name = str(row.values[FILE_NAME])
    depth = len(PurePosixPath(name).parts)
    if depth == 2:
        return replace(row, values={column: name, "label": name.split("/")[0]})
    if depth == 1:
        fault, hint = "stands in no sub-folder, whose name would be its label", "make one sub-folder for each label"
    else:
        fault = "stands more than one sub-folder deep, so that its label cannot be told"
        hint = "name the folder of each split in data.train, data.validation and data.test"
    return replace(row, values={}, fault=fault, found=shown(name), hint=f"{hint}, or write a {METADATA[0]}")


def metadata_row(row: Row, column: str) -> Row:
    """A row of a metadata table, with the file under the name of its kind."""
    if row.fault:
        return row
    values = dict(row.values)
    if FILE_NAME not in values or column in values:
        have = listed(map(shown, values)) or "none"
        what = f"has no column {FILE_NAME!r}" if FILE_NAME not in values else f"has a column {column!r} of its own"
        hint = f"the columns are {have}; {FILE_NAME!r} names the file and is read as {column!r}"
        return Row(row.line, {}, what, hint=hint, is_empty=not values)
    return replace(row, values={column: values.pop(FILE_NAME), **values})
