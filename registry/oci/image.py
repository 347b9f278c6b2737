"""A version as an image without a program: its files under `/models`, for an image volume or `COPY --from`.

One layer a file, so that versions share what they have in common; and the same files give the same digests. The record
of a pull is among them, so that a server tells which version it was given and compares each file with its digest.
Formats: OCI image-spec 1.1, manifest.md, config.md, layer.md, image-index.md.
"""

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from tunewright.registry.oci.address import OciAddress
from tunewright.registry.oci.media_types import IMAGE_CONFIG, IMAGE_LAYER, INDEX
from tunewright.registry.oci.push import Pushed, tag_of, upload
from tunewright.registry.oci.remote import Remote
from tunewright.registry.stores.disk_space import check_room
from tunewright.registry.transfer.download import sha256_of
from tunewright.registry.upkeep.update import RECORD, write_record
from tunewright.registry.versions.document import canonical
from tunewright.registry.versions.manifest import MEDIA_TYPE, descriptor, digest_of
from tunewright.registry.versions.pull import Pulled

FOLDER = "models"
_ARCHITECTURES = ("amd64", "arm64")  # of the nodes that may mount it; the files are the same


@dataclass(frozen=True)
class _Blob:
    media_type: str
    digest: str
    path: Path

    @property
    def descriptor(self) -> dict[str, object]:
        return descriptor(self.media_type, self.digest, self.path.stat().st_size)


def push_image(
    pulled: Pulled, address: OciAddress, *, only: Callable[[str], bool], variant: str | None = None
) -> Pushed:
    """Push the files whose paths satisfy `only`, which lie in the version's folder, as an image.

    `variant`: the only one among them, for the record. Raises what `push` raises, and NoSpace: a copy of each file is
    made on the way.
    """
    remote, tag = Remote(address, actions="pull,push"), tag_of(address, pulled)
    chosen = [layer for layer in pulled.manifest.layers if only(layer.path)]
    with TemporaryDirectory(prefix="tunewright-") as name:
        folder = Path(name)
        check_room(folder, sum(layer.size for layer in chosen))
        write_record(folder, pulled.version, chosen, variant)
        layers = [_tar(pulled.folder / layer.path, layer.path, folder) for layer in chosen]
        layers.append(_tar(folder / RECORD, RECORD, folder))
        manifests, blobs = [], list(layers)
        for architecture in _ARCHITECTURES:
            config = _config(folder, architecture, layers, pulled)
            manifest = _manifest(folder, config, layers)
            blobs.append(config)
            manifests.append((architecture, manifest))
        sent = upload(remote, {blob.digest: blob.path for blob in blobs})
        for _, manifest in manifests:
            remote.put_manifest(manifest.path.read_bytes(), MEDIA_TYPE, manifest.digest)
        index = _index(manifests)
        remote.put_manifest(index, INDEX, tag)
    return Pushed(replace(address, tag=tag, digest=digest_of(index)), sent)


def _tar(file: Path, place: str, folder: Path) -> _Blob:
    """A layer with one file and the folders above it, all of them root's, readable by all, of no time."""
    path = folder / f"{digest_of(place.encode()).removeprefix('sha256:')}.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for parent in _parents(place):
            entry = tarfile.TarInfo(parent)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        entry = tarfile.TarInfo(f"{FOLDER}/{place}")
        entry.size, entry.mode = file.stat().st_size, 0o644
        with file.open("rb") as opened:
            archive.addfile(entry, opened)
    return _Blob(IMAGE_LAYER, f"sha256:{sha256_of(path)}", path)


def _parents(path: str) -> Iterator[str]:
    above = [str(parent) for parent in PurePosixPath(FOLDER, path).parents]
    yield from reversed(above[:-1])  # the last one is the root


def _config(folder: Path, architecture: str, layers: list[_Blob], pulled: Pulled) -> _Blob:
    version = pulled.version
    document: dict[str, object] = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Labels": {
                "org.opencontainers.image.title": version.name,
                "org.opencontainers.image.version": str(version.number),
                "org.tunewright.digest": version.digest,
            }
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
    }
    return _written(folder, IMAGE_CONFIG, document)


def _manifest(folder: Path, config: _Blob, layers: list[_Blob]) -> _Blob:
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE,
        "config": config.descriptor,
        "layers": [layer.descriptor for layer in layers],
    }
    return _written(folder, MEDIA_TYPE, document)


def _written(folder: Path, media_type: str, document: dict[str, object]) -> _Blob:
    data = canonical(document)
    path = folder / f"{digest_of(data).removeprefix('sha256:')}.json"
    path.write_bytes(data)
    return _Blob(media_type, digest_of(data), path)


def _index(manifests: list[tuple[str, _Blob]]) -> bytes:
    described = [
        manifest.descriptor | {"platform": {"architecture": architecture, "os": "linux"}}
        for architecture, manifest in manifests
    ]
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": described})
