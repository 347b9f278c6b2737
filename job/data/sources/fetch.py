"""Where data comes from: files, globs and folders, local or in a bucket."""

from pathlib import Path

from tunewright.job.data.sources.bucket import fetch_bucket, sizes_in_bucket
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.data.sources.disk import fetch_local, sizes_on_disk
from tunewright.job.settings.fields import Sources


def fetch(sources: Sources, cache: Path) -> list[SourceFile]:
    """The local files behind one data setting, in the order of their names. DataError when there are none."""
    files: list[SourceFile] = []
    for source in [sources] if isinstance(sources, str) else sources:
        files += fetch_bucket(source, cache) if source.startswith("s3://") else fetch_local(source)
    return files


def files_at(source: str) -> dict[str, int]:
    """The address of every file at a place, whatever it holds, with its bytes: one, what a glob matches, or a folder's.

    DataError where there is none. Hidden and empty files are left out, and said.
    """
    return sizes_in_bucket(source) if source.startswith("s3://") else sizes_on_disk(source)
