"""Which names in a folder are no data: hidden ones, and what programs keep house with. One rule for disk and bucket."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from tunewright.job.data.faults import listed
from tunewright.job.progress.events import say

_HOUSEKEEPING = frozenset(
    "_temporary _success _metadata _common_metadata _spark_metadata _delta_log _symlink_format_manifest "
    "lost+found @eadir #recycle #snapshot $recycle.bin thumbs.db desktop.ini dataset_dict.json dataset_info.json "
    "dataset_infos.json".split()
) | {"system volume information"}
"""Left by Spark, Hadoop, Parquet writers, `datasets`, file systems, storage boxes and desktops, in lower case.
`__MACOSX` and `__pycache__` begin with two underscores."""
_PREFIXES = (".", "__", "_committed_", "_started_", "~$")


def is_hidden(name: str) -> bool:
    """Whether any part of a path below the folder that was named is hidden: `.ipynb_checkpoints/a.csv`, `..data`."""
    return any(part.lower() in _HOUSEKEEPING or part.startswith(_PREFIXES) for part in PurePosixPath(name).parts)


def not_hidden(names: Iterable[str], source: str, asked: Sequence[str] = ()) -> Iterator[str]:
    """The names that are data, and one line that counts the others. `asked`: parts that the user spelt himself."""
    hidden = []
    for name in names:
        if is_hidden("/".join(part for part in PurePosixPath(name).parts if part not in asked)):
            hidden.append(name)
        else:
            yield name
    if hidden:
        count = f"{len(hidden):,} hidden or housekeeping file{'' if len(hidden) == 1 else 's'}"
        say("data", f"{source}: {count} passed over ({listed(sorted(hidden), 3)})", passed_over=len(hidden))
