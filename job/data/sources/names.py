"""Which files of a folder are data, by their names and sizes. One rule for disk and bucket."""

import re
from collections.abc import Mapping, Sequence

from tunewright.job.data.faults import listed
from tunewright.job.data.readers.formats import format_of
from tunewright.job.errors import DataError
from tunewright.job.progress.events import say, warn

GLOB = re.compile(r"[*?\[]")
"""What makes an address one of several files."""

NEIGHBOURS = 5
"""Names that an error shows when the one asked for is not there."""

SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("dev", "devel", "valid", "validation", "val", "eval", "trial"), "validation"
)
"""How files are named after the side of the data that they hold."""


def not_empty(sizes: Mapping[str, int], source: str) -> list[str]:
    """The names of the files that hold a byte; the others are counted in one line."""
    empty = [name for name, size in sizes.items() if not size]
    if empty and len(empty) == len(sizes):
        raise DataError(f"data source {source!r}: every file is empty ({listed(empty, 3)})")
    if empty:
        count = f"{len(empty):,} empty file{'' if len(empty) == 1 else 's'}"
        say("data", f"{source}: {count} passed over ({listed(empty, 3)})", empty=len(empty))
    return [name for name, size in sizes.items() if size]


def readable(names: Sequence[str], source: str) -> set[str]:
    """Which of the names in a folder are those of data; notes in plain text are data only where nothing else is."""
    formats = {name: format_of(name) for name in names}
    tables = {name for name, kind in formats.items() if kind not in (None, "text")}
    data = tables or {name for name, kind in formats.items() if kind}
    say_ignored([name for name in names if name not in data], source)
    return data


def warn_of_splits(names: Sequence[str], source: str) -> None:
    """A folder that holds all splits is read as one of them."""
    found = {name: SPLITS.get(re.split(r"[-_.]", name.lower())[0]) for name in names}
    if len({split for split in found.values() if split}) > 1:
        told = listed(sorted(name for name, split in found.items() if split), 4)
        warn("data", f"{source}: {told} look like splits of one data set and are read together; name each one's file")


def say_ignored(names: Sequence[str], source: str) -> None:
    """Tell which files of a folder are left out."""
    if names:
        say("data", f"{source}: files that are not data are not read ({listed(names, 3)})", left_out=len(names))
