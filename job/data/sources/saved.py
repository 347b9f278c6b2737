"""Folders that `datasets` has written with save_to_disk: their rows are the files that state.json lists, no others."""

import json
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from tunewright.job.data.faults import listed, shown
from tunewright.job.errors import DataError

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
"""What stands beside the rows, and what stands above the folders of splits."""

Read = Callable[[str], bytes]
"""The content of a small file of the folder."""


def rows_of_saved(names: Sequence[str], read: Read, source: str) -> list[str]:
    """The names without whatever lies beside saved rows: their state, and the caches of `map` and `filter`.

    DataError for a folder that does not hold the rows that it lists.
    """
    folders = {str(PurePosixPath(name).parent) for name in names if PurePosixPath(name).name == _STATE}
    folders = {folder for folder in folders if str(PurePosixPath(folder, _INFO)) in names}
    rows = {name for folder in folders for name in _listed(folder, set(names), read, source)}
    return [name for name in names if name in rows or str(PurePosixPath(name).parent) not in folders]


def refuse_splits(names: Sequence[str], read: Read, source: str) -> None:
    """DataError for a folder whose folders are saved splits, as one of them is meant."""
    if _SPLITS not in names or not any(PurePosixPath(name).name == _STATE for name in names):
        return
    try:
        splits = [str(split) for split in json.loads(read(_SPLITS))["splits"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"data source {source!r}: {_SPLITS} is not as `datasets` writes it") from error
    one = splits[0] if splits else "train"
    raise DataError(
        f"data source {source!r} holds the splits {listed(splits)}; name the folder of one, such as "
        f"{source.rstrip('/')}/{one}"
    )


def _listed(folder: str, names: set[str], read: Read, source: str) -> list[str]:
    state = str(PurePosixPath(folder, _STATE))
    try:
        told = json.loads(read(state))
        files = [str(one["filename"]) for one in told["_data_files"]]
        is_chosen = bool(told.get("_indices_data_files"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"data source {source!r}: {state} is not as `datasets` writes it") from error
    if is_chosen:
        raise DataError(f"data source {source!r}: {state} keeps chosen rows as indices; save the data set again")
    paths = {file: str(PurePosixPath(folder, file)) for file in files}
    for file, path in paths.items():
        if PurePosixPath(file).name != file or not file.endswith(".arrow") or path not in names:
            raise DataError(f"data source {source!r}: {state} lists {shown(file)}, which is no *.arrow file beside it")
    return list(paths.values())
