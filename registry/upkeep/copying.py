"""Copy a version to another registry: the same bytes under the same digest, whole there or not at all."""

import tempfile
from dataclasses import replace
from pathlib import Path

from tunewright.registry.errors import Conflict
from tunewright.registry.progress import moved, transfer
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.download import download
from tunewright.registry.transfer.parallel import each
from tunewright.registry.upkeep.verify import parts_of, problem_of
from tunewright.registry.versions.layout import blob_key, check_name
from tunewright.registry.versions.manifest import Layer
from tunewright.registry.versions.publish import find_run, kept, put_blob, register, relied_on
from tunewright.registry.versions.pull import digests_of, manifest_bytes, read_manifest
from tunewright.registry.versions.record import (
    Summary,
    Version,
    check_version,
    deleted_sentence,
    deletion_of,
    now,
    who,
)


def copy(source: Store, version: Version, target: Store, *, name: str | None = None) -> tuple[Version, bool]:
    """The version in the other registry, under its own name or another, and whether it had to be made.

    It is registered as the run that made it, so that a copy which is repeated finds it. What is there already is read
    whole before it counts; what is not is downloaded, compared with its digest, and sent.
    Raises NotFound for a version that is deleted, Conflict where the run has another version there, CorruptObject.
    """
    check_version(source, version.name, version.number)
    name = check_name(name or version.name)
    if found := find_run(target, name, version.run_id):
        return _same(target, found, version), False
    manifest = read_manifest(source, version)

    def send() -> None:
        those = kept(target, name)

        def send_one(layer: Layer) -> None:
            if relied_on(target, layer.digest, those, lambda: problem_of(target, layer) is None):
                moved("received", layer.size)
                moved("sent", layer.size)
            else:
                _send(source, target, layer)

        blobs = {layer.digest: layer for layer in parts_of(manifest)}.values()
        with transfer(str(version), sum(layer.size for layer in blobs), "received", "sent"):
            each(send_one, blobs)
        put_blob(target, manifest_bytes(source, version), those)

    if not target.single_writer:
        probe(target)
    summary = version.summary or Summary()
    told = replace(version, name=name, number=1, created=now(), previous=None, who=who(), summary=summary)
    return _same(target, register(target, told, digests_of(version, manifest), send), version), True


def _send(source: Store, target: Store, layer: Layer) -> None:
    sha256 = layer.digest.removeprefix("sha256:")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blob"
        download(source, blob_key(layer.digest), path, sha256=sha256, size=layer.size)
        target.upload(blob_key(layer.digest), path, sha256=sha256)


def _same(target: Store, found: Version, version: Version) -> Version:
    """The version of the run, which must be this one, and not be deleted."""
    if found.digest != version.digest:
        raise Conflict(
            f"{found} in {target.uri} is of the same run ({found.run_id}) and has other files (manifest "
            f"{found.digest}, not {version.digest}): give the copy another name"
        )
    if gone := deletion_of(target, found.name, found.number):
        raise Conflict(f"in {target.uri} {deleted_sentence(gone)}, or give the copy another name")
    return found
