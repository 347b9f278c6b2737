"""Data files of this disk: one, those that a glob matches, or those of a folder."""

from functools import partial
from pathlib import Path

from tunewright.job.data.readers.formats import KNOWN_NAMES
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.data.sources.hidden import not_hidden
from tunewright.job.data.sources.names import GLOB, NEIGHBOURS, not_empty, readable, warn_of_splits
from tunewright.job.data.sources.saved import refuse_splits, rows_of_saved
from tunewright.job.errors import DataError
from tunewright.job.inside import leaves
from tunewright.registry.address import shown_address
from tunewright.registry.transfer.download import sha256_of


def fetch_local(source: str) -> list[SourceFile]:
    """The files there, in the order of their names. DataError when there are none."""
    _refuse_scheme(source)
    try:
        paths = _local_files(source)
        return [SourceFile(str(found), found, sha256_of(found), found.stat().st_size) for found in paths]
    except OSError as error:
        raise DataError(
            f"data source {source!r}: {error.filename or source} cannot be read: {error.strerror}"
        ) from error


def sizes_on_disk(source: str) -> dict[str, int]:
    """The path of every file there, whatever it holds, with its bytes. DataError where there is none."""
    _refuse_scheme(source)
    folder = Path(source).expanduser()
    try:
        if not folder.is_dir():
            return {str(path): path.stat().st_size for path in _local_files(source)}
        names = rows_of_saved(_names(folder), partial(_read, folder), source)
        sizes = {name: (folder / name).stat().st_size for name in not_hidden(names, source)}
    except OSError as error:
        raise DataError(
            f"data source {source!r}: {error.filename or source} cannot be read: {error.strerror}"
        ) from error
    if not sizes:
        raise DataError(f"data source {source!r} is a folder without a file")
    return {f"{source.rstrip('/')}/{name}": sizes[name] for name in not_empty(sizes, source)}


def _refuse_scheme(source: str) -> None:
    if "://" in source:
        raise DataError(
            f"data source {shown_address(source)!r} is not a place to read from; "
            "use a path, s3://bucket/key or hf://org/name"
        )


def _local_files(source: str) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_dir():
        return _data_files(path, source)
    if path.is_file():
        return [path]
    found = Path(path.anchor).glob(str(path).removeprefix(path.anchor)) if GLOB.search(source) else iter(())
    names = sorted(str(one) for one in found if one.is_file())
    sizes = {name: Path(name).stat().st_size for name in not_hidden(names, source, path.parts)}
    if not sizes:
        raise DataError(f"data source {source!r}: no such file{beside(path)}")
    return [Path(name) for name in not_empty(sizes, source)]


def _data_files(folder: Path, source: str) -> list[Path]:
    names = _names(folder)
    refuse_splits(names, partial(_read, folder), source)
    found = rows_of_saved(names, partial(_read, folder), source)
    sizes = {name: (folder / name).stat().st_size for name in not_hidden(found, source)}
    files = [folder / name for name in not_empty(sizes, source)]
    known = readable([path.name for path in files], source)
    data = [path for path in files if path.name in known]
    outside = [path for path in data if leaves(folder, path)]
    if outside:
        raise DataError(
            f"data source {source!r}: {outside[0].relative_to(folder)} is a link to a file outside the folder; "
            "put the file itself there, or name its own path"
        )
    if not data:
        raise DataError(
            f"data source {source!r} is a folder without a data file; data files are named {KNOWN_NAMES}; a glob such "
            f"as {folder}/* takes others too"
        )
    warn_of_splits([path.name for path in data], source)
    return data


def _names(folder: Path) -> list[str]:
    return sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())


def _read(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


def beside(path: Path) -> str:
    """What an error says of a path that is not there: the names that are."""
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    names = sorted(one.name for one in path.parent.iterdir())[:NEIGHBOURS]
    return f"; {path.parent} holds {', '.join(names) or 'nothing'}"
