"""Push a version to an OCI registry as what it is: a ModelPack artifact with the same manifest, so the same digest."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tunewright.registry.errors import BadReference
from tunewright.registry.oci.address import OciAddress
from tunewright.registry.oci.remote import Remote
from tunewright.registry.progress import moved, transfer
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.manifest import MEDIA_TYPE
from tunewright.registry.versions.pull import Pulled


@dataclass(frozen=True)
class Pushed:
    """What an OCI registry holds now."""

    address: OciAddress  # with the tag and the digest
    bytes: int  # that had to be uploaded


def push(store: Store, pulled: Pulled, address: OciAddress) -> Pushed:
    """Push all files of a version, which lie in its folder; a tag that there was is moved.

    Without a tag in the address it is the version's number. Raises AccessDenied, NotFound, Unreachable, Conflict.
    """
    version = pulled.version
    files = {layer.digest: pulled.folder / layer.path for layer in pulled.manifest.layers}
    manifest = store.read(blob_key(version.digest))
    config = store.read(blob_key(pulled.manifest.config_digest))
    remote, tag = Remote(address, actions="pull,push"), tag_of(address, pulled)
    with TemporaryDirectory(prefix="tunewright-") as folder:
        small = Path(folder) / "config.json"
        small.write_bytes(config)
        sent = upload(remote, files | {pulled.manifest.config_digest: small})
    remote.put_manifest(manifest, MEDIA_TYPE, tag)
    return Pushed(replace(address, tag=tag, digest=version.digest), sent)


def tag_of(address: OciAddress, pulled: Pulled) -> str:
    """The tag under which a version is pushed. Raises BadReference for an address with a digest."""
    if address.digest:
        raise BadReference(f"{address} names a digest, which is what a push results in; name a tag, or neither")
    return address.tag or str(pulled.version.number)


def upload(remote: Remote, files: Mapping[str, Path]) -> int:
    """Upload the blobs that are missing, by their digests; how many bytes that were."""

    def send(digest: str) -> int:
        size = files[digest].stat().st_size
        is_there = remote.has(digest)
        if not is_there:
            remote.put_blob(digest, files[digest])
        moved("sent", size)
        return 0 if is_there else size

    with transfer(str(remote.address), sum(path.stat().st_size for path in files.values()), "sent"):
        return sum(each(send, sorted(files)))
