"""Mend a version: put back what fails its digest, from files on this machine or from another registry."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tunewright.registry.errors import BadReference, CorruptObject, NotFound
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.transfer.download import download, sha256_of
from tunewright.registry.upkeep.verify import CONFIG, parts_of, problem_of
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.manifest import LARGEST, Layer, Manifest, config_blob, digest_of
from tunewright.registry.versions.publish import put_blob
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.record import Version

Source = Store | Path
"""Another registry, or a folder with the files of the version."""


@dataclass(frozen=True)
class Repaired:
    """What came of a repair."""

    version: Version
    mended: tuple[str, ...]  # the paths that were put back
    left: tuple[str, ...]  # one sentence for each that could not be


def open_source(text: str) -> Source:
    """A registry's address, its folder, or a folder of files. Raises AddressError, BadReference."""
    folder = Path(text).expanduser()
    if "://" in text or (folder / "blobs" / "sha256").is_dir():
        return open_store(text)
    if not folder.is_dir():
        raise BadReference(f"{text!r} is no folder; expected one with the files of the version, or a registry")
    return folder


def repair(store: Store, version: Version, source: Source) -> Repaired:
    """Replace what does not have its digest, and nothing else. Raises what the stores raise."""
    mended: list[str] = []
    try:
        manifest = read_manifest(store, version)
    except (NotFound, CorruptObject) as error:
        found = _manifest_of(version, source)
        if found is None:
            return Repaired(version, (), (f"{error}; only a registry that holds it whole can mend it",))
        put_blob(store, found)
        manifest = read_manifest(store, version)
        mended.append("the manifest")
    left = []
    for layer in {layer.digest: layer for layer in parts_of(manifest)}.values():
        if problem := problem_of(store, layer):
            if _put_back(store, layer, manifest, source):
                mended.append(layer.path)
            else:
                left.append(f"{layer.path}: {problem}, and {_place(source, layer)} does not hold it whole")
    return Repaired(version, tuple(mended), tuple(left))


def _manifest_of(version: Version, source: Source) -> bytes | None:
    if isinstance(source, Path):
        return None
    try:
        data = source.read(blob_key(version.digest), limit=LARGEST)
    except (NotFound, CorruptObject):
        return None
    return data if digest_of(data) == version.digest else None


def _put_back(store: Store, layer: Layer, manifest: Manifest, source: Source) -> bool:
    sha256 = layer.digest.removeprefix("sha256:")

    def put(path: Path) -> bool:
        store.upload(blob_key(layer.digest), path, sha256=sha256)
        return True

    if layer.path == CONFIG and digest_of(made := config_blob(manifest.layers)) == layer.digest:
        put_blob(store, made)
        return True
    if isinstance(source, Path):
        path = source / layer.path
        return path.is_file() and sha256_of(path) == sha256 and put(path)
    return _with_copy(source, layer, put)


def _with_copy(source: Store, layer: Layer, put: Callable[[Path], bool]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blob"
        try:
            download(source, blob_key(layer.digest), path, sha256=layer.digest.removeprefix("sha256:"), size=layer.size)
        except (NotFound, CorruptObject):
            return False
        return put(path)


def _place(source: Source, layer: Layer) -> str:
    return str(source / layer.path) if isinstance(source, Path) else source.uri
