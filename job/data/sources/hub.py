"""Data sets of the hub: their tables fetched at one commit by `huggingface_hub` alone, and verified each time.

No script is run and no README is read: which files are meant is told by their names (`hub_files`).
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.job.data.sources.cache import SourceFile, record_digest, recorded_digest, write_whole
from tunewright.job.data.sources.hub_files import SCHEME, HubAddress, choose, hub_address
from tunewright.job.errors import DataError, first_line
from tunewright.job.hub import refusal
from tunewright.job.progress.events import bar, say
from tunewright.registry.stores.disk_space import check_room, disk_full, is_disk_full, size_text
from tunewright.registry.stores.key import is_key
from tunewright.registry.transfer.download import sha256_of

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

_MOST_BYTES = 50 * 10**9
"""Of one source; more is asked for by mistake."""
_THREADS = 4


@dataclass(frozen=True)
class _File:
    """A file of a data set, as the hub lists it."""

    name: str
    size: int = 0
    sha256: str = ""
    """Of a large file; empty for a small one, or where the hub was not asked."""
    git_sha1: str = ""
    """Of a small file, as git digests it."""


@dataclass(frozen=True)
class _Listing:
    """All files of a data set at one commit."""

    address: HubAddress
    commit: str
    files: dict[str, _File]

    def place(self, name: str) -> str:
        """The address of one file, which names the commit."""
        return f"{SCHEME}{self.address.name}@{self.commit}/{name}"


def fetch_hub(source: str, cache: Path) -> list[SourceFile]:
    """The files of one split, in the order of their names. DataError where they cannot be told or had."""
    address = hub_address(source)
    listing = _list(address, cache / "data")
    files = [listing.files[name] for name in choose(list(listing.files), address)]
    _check_size(address, sum(file.size for file in files))
    with _quiet(), bar("download", len(files)) as advance, ThreadPoolExecutor(_THREADS, "hub") as pool:
        found = list(pool.map(partial(_fetch, listing, cache / "data", advance), files))
    size = sum(file.size for file in found)
    count = f"{len(found):,} {'file' if len(found) == 1 else 'files'} ({size_text(size)})"
    say("data", f"{source}: {count} at commit {listing.commit}", commit=listing.commit)
    return found


def sizes_on_hub(source: str, cache: Path) -> dict[str, int]:
    """The address of every table of one configuration, at its commit, with its bytes."""
    address = hub_address(source)
    listing = _list(address, cache / "data")
    names = choose(list(listing.files), address, every_split=True)
    return {listing.place(name): listing.files[name].size for name in names}


def _check_size(address: HubAddress, size: int) -> None:
    if size > _MOST_BYTES:
        raise DataError(
            f"data source {address.source!r} holds {size_text(size)}, and more than {size_text(_MOST_BYTES)} of one "
            f"source are not fetched; name some of its files, such as hf://{address.name}/FILE"
        )
    check_room(_library_cache(), size)


def _list(address: HubAddress, cache: Path) -> _Listing:
    """What the hub lists at a revision; offline, what it listed the last time."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return _list_again(address, cache)
    with _told(address, cache):
        info = HfApi().dataset_info(address.name, revision=address.revision or None, files_metadata=True)
        files = [_file(one) for one in info.siblings or []]
        listing = _Listing(address, str(info.sha), {file.name: file for file in files if is_key(file.name)})
        _keep(listing, cache)
    return listing


def _file(one: "RepoSibling") -> _File:
    return _File(one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else "", "" if one.lfs else one.blob_id or "")


def _record(address: HubAddress, cache: Path) -> Path:
    revision = f"{SCHEME}{address.name}@{address.revision}"
    return cache / f"{hashlib.sha256(revision.encode()).hexdigest()[:32]}.listing.json"


def _keep(listing: _Listing, cache: Path) -> None:
    facts = {"commit": listing.commit, "files": [asdict(file) for file in listing.files.values()]}
    write_whole(_record(listing.address, cache), json.dumps(facts))


def _list_again(address: HubAddress, cache: Path) -> _Listing:
    """What an earlier job listed, else what lies in the library's cache: `refs/<revision>`, `snapshots/<commit>`."""
    from huggingface_hub import constants

    try:
        kept = json.loads(_record(address, cache).read_bytes())
        files = [_File(**file) for file in kept["files"]]
        return _Listing(address, kept["commit"], {file.name: file for file in files})
    except (OSError, ValueError, KeyError, TypeError):
        pass
    root = _library_cache() / f"datasets--{address.name.replace('/', '--')}"
    reference = root / "refs" / (address.revision or constants.DEFAULT_REVISION)
    commit = reference.read_text().strip() if reference.is_file() else address.revision
    folder = root / "snapshots" / commit
    if not commit or not folder.is_dir():
        raise DataError(
            f"data source {address.source!r} was not fetched before, and HF_HUB_OFFLINE forbids to ask the hub; "
            "unset it, or fetch the data set where the network is"
        )
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return _Listing(address, commit, {name: _File(name) for name in names if is_key(name)})


def _fetch(listing: _Listing, cache: Path, advance: Callable[[], None], file: _File) -> SourceFile:
    """One file, fetched again where its bytes are not those that the hub, or an earlier job, tells."""
    address = listing.place(file.name)
    record = cache / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}.json"
    told = file.sha256 or recorded_digest(record) or ""
    for again in (False, True):
        path = _download(listing, file.name, again=again)
        digest = sha256_of(path)
        if told in ("", digest) and file.git_sha1 in ("", _git_sha1(path)):
            with _told(listing.address, cache):
                record_digest(record, address, digest)
            advance()
            return SourceFile(address, path, digest, path.stat().st_size)
    raise DataError(
        f"data source {listing.address.source!r}: {file.name} arrived twice with other bytes than the hub tells"
    )


def _download(listing: _Listing, name: str, *, again: bool) -> Path:
    from huggingface_hub import hf_hub_download

    repository, commit = listing.address.name, listing.commit
    with _told(listing.address, _library_cache(), name):
        return Path(hf_hub_download(repository, name, repo_type="dataset", revision=commit, force_download=again))


def _git_sha1(path: Path) -> str:
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's own bars: one bar of ours counts the files."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not were:
            enable_progress_bars()


@contextmanager
def _told(address: HubAddress, folder: Path, name: str = "") -> Iterator[None]:
    """One sentence for whatever the hub, the network or the disk of the folder refuses."""
    from huggingface_hub.errors import HfHubHTTPError

    # Of what the network refuses the library's later versions make no OSError.
    others = [one for one in HfHubHTTPError.__mro__ if issubclass(one, Exception) and one is not Exception]
    refused: tuple[type[Exception], ...] = (*others, OSError, ValueError, KeyError, TypeError)
    start = f"data source {address.source!r}"
    try:
        yield
    except refused as error:
        if told := refusal(start, "data set", address.name, address.revision, error):
            raise DataError(told) from error
        if isinstance(error, OSError) and is_disk_full(error):
            raise disk_full(folder) from error
        what = f"{start}{f' ({name})' if name else ''} could not be had from the hub"
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        is_away = type(error).__module__.startswith(("httpx", "requests")) or isinstance(error, ConnectionError)
        hint = "; look at the network, HTTPS_PROXY and HF_ENDPOINT" if is_away and not offline else ""
        raise DataError(f"{what}{offline}: {first_line(error).removesuffix('.')}{hint}") from error


def _library_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)
