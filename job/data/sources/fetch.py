"""Where data comes from: files, globs and folders, local or in a bucket, and data sets of the hub."""

from functools import partial
from pathlib import Path

from tunewright.job.data.sources.bucket import fetch_bucket, sizes_in_bucket
from tunewright.job.data.sources.cache import SourceFile, fetched_once
from tunewright.job.data.sources.disk import fetch_local, sizes_on_disk
from tunewright.job.data.sources.hub import fetch_hub, sizes_on_hub
from tunewright.job.data.sources.hub_files import SCHEME
from tunewright.job.settings.fields import Sources
from tunewright.registry.address import shown_address


def fetch(sources: Sources, cache: Path) -> list[SourceFile]:
    """The local files behind one data setting, in the order of their names. DataError when there are none."""
    files: list[SourceFile] = []
    for source in [sources] if isinstance(sources, str) else sources:
        if source.startswith(("s3://", SCHEME)):
            fetch_from = fetch_bucket if source.startswith("s3://") else fetch_hub
            files += fetched_once(f"data source {shown_address(source)!r}", partial(fetch_from, source, cache))
        else:
            files += fetch_local(source)
    return files


def files_at(source: str, cache: Path) -> dict[str, int]:
    """The address of every file at a place, whatever it holds, with its bytes: one, what a glob matches, or a folder's.

    DataError where there is none. Hidden and empty files are left out, and said; of the hub there are only tables.
    """
    if source.startswith(SCHEME):
        return sizes_on_hub(source, cache)
    return sizes_in_bucket(source) if source.startswith("s3://") else sizes_on_disk(source)
