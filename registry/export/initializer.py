"""What KServe asks of a storage initializer: an address as a folder, before the server starts.

`tunewright://reviews@production` is a version of the registry: the files that answer, with the record of a pull, so
that the server says which version it is and compares each file with its digest. `s3://bucket/prefix` is whatever lies
there, such as an export; where a record is among it, each file has to have the digest that stands in it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewright.registry.errors import BadReference, Conflict, CorruptObject, NotFound
from tunewright.registry.export.mlflow import to_answer
from tunewright.registry.gates.evidence import MODEL, Evidence
from tunewright.registry.stores.store import Stat, Store, open_store
from tunewright.registry.transfer.download import download
from tunewright.registry.transfer.parallel import each
from tunewright.registry.upkeep.update import RECORD, Record, begin, digest_at, read_record, update
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.manifest import Layer, Manifest, check_path, digest_of
from tunewright.registry.versions.pull import Only, read_manifest, writable
from tunewright.registry.versions.record import Version

SCHEME, BUCKET = "tunewright://", "s3://"
_VERSION = re.compile(rf"{SCHEME}(?P<reference>[^?/\s]+)(\?variant=(?P<variant>[^&\s]+))?")


@dataclass(frozen=True)
class Initialized:
    """What lies in the folder now."""

    what: str
    files: int
    size: int  # bytes


@dataclass(frozen=True)
class Asked:
    """What an address of a version asks for."""

    reference: str
    variant: str | None
    """None: the one that is served by default."""


def read_address(uri: str) -> Asked | None:
    """What the address of a version asks for; None for one of a bucket. BadReference for any other."""
    if uri.startswith(BUCKET):
        return None
    if (found := _VERSION.fullmatch(uri)) is None:
        raise BadReference(
            f"{uri!r} is no address of a model; expected {SCHEME}reviews@production, {SCHEME}reviews:7?variant=int8 or "
            f"{BUCKET}bucket/prefix"
        )
    return Asked(found["reference"], found["variant"])


def place_version(store: Store, version: Version, folder: Path, *, variant: str | None = None) -> Initialized:
    """The files of a version that answer, and nothing of the one before where the pod was started again meanwhile.

    Of a version of another framework all files. A record is there before the first file, so that a run that was cut
    off is gone on with, whatever the alias names by then. Raises NotFound for a variant that it has not, Conflict where
    another file lies in a folder without a record, CorruptObject.
    """
    manifest = read_manifest(store, version)
    only = _only(store, version, manifest, variant)
    layers = [layer for layer in manifest.layers if only(layer.path)]
    if (record := read_record(folder)) is None:
        _refuse_others(folder, version, layers)
        record = begin(folder, version, variant)
    update(store, version, layers, folder, record, force=True, variant=variant)
    return Initialized(str(version), len(layers), sum(layer.size for layer in layers))


def _refuse_others(folder: Path, version: Version, layers: Sequence[Layer]) -> None:
    for layer in layers:
        if digest_at(folder / layer.path) not in (None, layer.digest):
            raise Conflict(
                f"{folder / layer.path} is there already, and not as {version} has it; choose an empty folder"
            )


def place_prefix(uri: str, folder: Path) -> Initialized:
    """All objects below a prefix. Raises NotFound where there is none, CorruptObject for a file that is not the one of
    the record beside it, BadReference for a key that is no path."""
    bucket = open_store(uri, foreign=True)
    found = {check_path(stat.key): stat for stat in bucket.list("") if not stat.key.endswith("/")}
    if not found:
        raise NotFound(f"{uri} holds no object; expected the prefix below which the files of a model lie")
    record = None
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if (stat := found.pop(RECORD, None)) is not None:
            download(bucket, stat.key, folder / RECORD, size=stat.size)
            record = read_record(folder)
        each(lambda one: _download(bucket, one, folder, record), found.values())
    what = f"{uri} ({record.name}:{record.number})" if record else uri
    return Initialized(what, len(found), sum(stat.size for stat in found.values()))


def _download(bucket: Store, stat: Stat, folder: Path, record: Record | None) -> None:
    digests = record.files.get(stat.key, []) if record else []
    sha256 = digests[0].removeprefix("sha256:") if len(digests) == 1 else None
    download(bucket, stat.key, folder / stat.key, sha256=sha256, size=stat.size)


def _only(store: Store, version: Version, manifest: Manifest, variant: str | None) -> Only:
    served = _served(store, version, manifest)
    if served is None:
        if variant is not None:
            raise NotFound(f"{version} has no variants: it was not made by a job of this program")
        return lambda _: True
    asked = variant or served
    manifest.require_variant(asked, version)
    return to_answer(asked)


def _served(store: Store, version: Version, manifest: Manifest) -> str | None:
    """The variant that its model.json names as the default; None where it has none."""
    layer = next((layer for layer in manifest.layers if layer.path == MODEL), None)
    if layer is None:
        return None
    data = store.read(blob_key(layer.digest), limit=layer.size)
    if digest_of(data) != layer.digest:
        raise CorruptObject(f"{MODEL} of {version} does not have the digest in its name (tunewright verify {version})")
    try:
        return Evidence(version, manifest, {MODEL: json.loads(data)}, None).served
    except (ValueError, RecursionError) as error:
        raise CorruptObject(f"{MODEL} of {version} is no JSON: {error}") from None
