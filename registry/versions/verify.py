"""Verify a version where it lies: read every blob again and compare the digests."""

import hashlib
from dataclasses import dataclass

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.download import RANGE
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.manifest import Layer
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.record import Version
from tunewright.registry.versions.reference import resolve


@dataclass(frozen=True)
class Verified:
    """What a verification found."""

    version: Version
    files: int
    size: int  # bytes read
    problems: tuple[str, ...]  # one sentence each; empty when all is well


def verify(store: Store, wanted: str | Version) -> Verified:
    """Read every byte of a version. Raises NotFound or BadReference when there is no such version."""
    version = resolve(store, wanted)
    try:
        manifest = read_manifest(store, version)
    except (NotFound, CorruptObject) as error:
        return Verified(version, 0, 0, (str(error),))
    config = Layer("the ModelPack configuration", manifest.config_digest, manifest.config_size, "")
    problems = each(lambda layer: _problem(store, layer), (*manifest.layers, config))
    return Verified(version, len(manifest.layers), manifest.size, tuple(p for p in problems if p))


def _problem(store: Store, layer: Layer) -> str | None:
    key = blob_key(layer.digest)
    try:
        stat = store.stat(key)
    except NotFound:
        return f"{layer.path}: the blob {key!r} is missing"
    if stat.size != layer.size:
        return f"{layer.path}: the blob {key!r} holds {stat.size} bytes, expected {layer.size}"
    whole = hashlib.sha256()
    for start in range(0, stat.size, RANGE):
        whole.update(store.read_range(key, start, min(start + RANGE, stat.size), etag=stat.etag))
    if f"sha256:{whole.hexdigest()}" != layer.digest:
        return f"{layer.path}: the blob {key!r} is damaged, its sha256 is {whole.hexdigest()}"
    return None
