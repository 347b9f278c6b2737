"""Pull a version to this machine: only the files asked for, in parallel, every digest checked.

The cache is shared by any number of processes:

    blobs/sha256/<digest>          each file once, whoever needs it
    versions/<manifest digest>/    the version as a folder of real files (hard links to the blobs)

Each holds a lock of the whole while it pulls, and one of the version's folder until it ends (`registry.upkeep.cache`).

Real files, because onnxruntime refuses symbolic links to external data. A file in the cache is hashed again each
time it is pulled: that costs about a second for a gigabyte, and nothing below would notice a flipped bit (most
load without a word in onnxruntime). One that no longer matches is fetched anew.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tunewright.registry.errors import AccessDenied, BadReference, Conflict, CorruptObject, NotFound, RegistryError
from tunewright.registry.progress import moved, transfer
from tunewright.registry.stores.disk_space import disk_full, is_disk_full
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.download import OnBytes, Source, download, sha256_of
from tunewright.registry.transfer.in_use import keep, used
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.manifest import LARGEST, Layer, Manifest, digest_of, parse
from tunewright.registry.versions.record import Version, deleted_sentence, deletion_of
from tunewright.registry.versions.reference import resolve

Only = Callable[[str], bool]


@dataclass(frozen=True)
class Pulled:
    """A version on this machine."""

    folder: Path
    version: Version
    manifest: Manifest


def pull(
    store: Store,
    wanted: str | Version,
    *,
    cache: Path,
    only: Only | None = None,
    on_bytes: OnBytes | None = None,
    manifest: Manifest | None = None,
) -> Pulled:
    """The files of a version whose paths satisfy `only` (all without it), in a folder of the cache.

    A second pull that asks for more files adds them to the same folder: by the version that the first has resolved,
    as an alias may have moved since. `on_bytes` is told what was downloaded.
    `manifest`: that of the version, where it was read already.
    Raises BadReference, NotFound, CorruptObject, NoSpace ...
    """
    version = resolve(store, wanted)
    manifest = manifest or read_manifest(store, version)
    folder = cache.absolute() / "versions" / version.digest.removeprefix("sha256:")

    def fetch(layer: Layer) -> None:
        blob = cache.absolute() / blob_key(layer.digest)
        if _matches(blob, layer):
            moved("received", layer.size)
        else:
            download(store, blob_key(layer.digest), blob, sha256=_hex(layer), size=layer.size, on_bytes=on_bytes)
        _place(blob, folder / layer.path, layer)

    with writable(cache):
        folder.mkdir(parents=True, exist_ok=True)
        with used(cache):
            folder.mkdir(parents=True, exist_ok=True)  # it may have been removed just before
            keep(folder)
            with transfer(str(version), _size(manifest, only), "received"):
                each(fetch, _wanted(manifest, only))
        with suppress(OSError):  # another's, or one that cannot be written: then it is not known when it was used
            os.utime(folder)
    return Pulled(folder, version, manifest)


def pull_into(store: Store, wanted: str | Version, folder: Path, *, only: Only | None = None) -> Pulled:
    """The files of a version in a folder of the caller's, as independent copies without a cache.

    Raises Conflict when another file stands where one of the version's belongs.
    """
    version = resolve(store, wanted)
    manifest = read_manifest(store, version)
    put_files(store, manifest, folder, only=only)
    return Pulled(folder.absolute(), version, manifest)


def put_files(source: Source, manifest: Manifest, folder: Path, *, only: Only | None = None) -> None:
    """The files of a manifest in a folder of the caller's, out of a store or an OCI registry. Raises Conflict."""

    def fetch(layer: Layer) -> None:
        target = folder / layer.path
        if _matches(target, layer):
            moved("received", layer.size)
            return
        if target.exists():
            raise Conflict(
                f"{target} already exists and is another file; choose an empty folder, or bring an older pull "
                "up to date with --update"
            )
        download(source, blob_key(layer.digest), target, sha256=_hex(layer), size=layer.size)

    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with transfer(str(folder), _size(manifest, only), "received"):
            each(fetch, _wanted(manifest, only))


def read_manifest(store: Store, version: Version) -> Manifest:
    """The manifest of a version, parsed only after its digest was checked. Raises CorruptObject."""
    return _of_size(parse(manifest_bytes(store, version), f"the manifest of {version}"), version)


def manifest_bytes(store: Store, version: Version) -> bytes:
    """The manifest of a version as it is stored, of the digest that its record names. Raises CorruptObject."""
    key = blob_key(version.digest)
    for _ in range(3):  # a bit may have flipped on the way
        try:
            data = store.read(key, limit=LARGEST)
        except NotFound as error:
            raise collected(store, version) or error from None
        if digest_of(data) == version.digest:
            return data
    raise CorruptObject(f"the manifest of {version} ({key!r} in {store.uri}) does not have the digest in its name")


def digests_of(version: Version, manifest: Manifest) -> frozenset[str]:
    """Of every blob that a version needs."""
    return frozenset({version.digest, manifest.config_digest, *(layer.digest for layer in manifest.layers)})


def _of_size(manifest: Manifest, version: Version) -> Manifest:
    if manifest.size != version.size:
        raise CorruptObject(
            f"the manifest of {version} lists files of {manifest.size} bytes, the version's record says {version.size}"
        )
    return manifest


def collected(store: Store, version: Version) -> NotFound | None:
    """Why the files of a version are not there; None where nobody has removed them on purpose."""
    gone = deletion_of(store, version.name, version.number)
    return NotFound(deleted_sentence(gone)) if gone else None


def _wanted(manifest: Manifest, only: Only | None) -> list[Layer]:
    return [layer for layer in manifest.layers if only is None or only(layer.path)]


def _size(manifest: Manifest, only: Only | None) -> int:
    return sum(layer.size for layer in _wanted(manifest, only))


def _matches(path: Path, layer: Layer) -> bool:
    try:
        return path.stat().st_size == layer.size and sha256_of(path) == _hex(layer)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _place(blob: Path, target: Path, layer: Layer) -> None:
    """Make the blob appear in the version's folder, whole, whatever was there before."""
    if target.exists() and target.samefile(blob):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        _link_or_copy(blob, temporary, layer)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _link_or_copy(blob: Path, target: Path, layer: Layer) -> None:
    try:
        target.hardlink_to(blob)
    except OSError:  # a file system without hard links: a copy, checked like a download
        shutil.copyfile(blob, target)
        if not _matches(target, layer):
            raise CorruptObject(f"{target} could not be copied faithfully from {blob}; check the disk") from None


def _hex(layer: Layer) -> str:
    return layer.digest.removeprefix("sha256:")


@contextmanager
def writable(folder: Path, verb: str = "written") -> Iterator[None]:
    """What the local disk refuses meanwhile is told in one sentence."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(folder) from error
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise BadReference(f"{folder} is a file, or lies below one; expected a folder") from error
        if isinstance(error, PermissionError | FileNotFoundError) or error.errno == errno.EROFS:
            raise AccessDenied(f"{folder} cannot be {verb} ({error.strerror}); choose another folder") from error
        raise RegistryError(f"{folder} cannot be used: {error}") from error
