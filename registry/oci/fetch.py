"""What an address of an OCI registry names: a version that was pushed there, or by whom else a ModelPack artifact."""

from dataclasses import dataclass

from tunewright.registry.errors import BadReference
from tunewright.registry.oci.address import OciAddress
from tunewright.registry.oci.blobs import Blobs
from tunewright.registry.oci.media_types import IMAGE_CONFIG, INDEX
from tunewright.registry.oci.remote import Remote
from tunewright.registry.versions.document import parse as parse_json
from tunewright.registry.versions.manifest import Manifest, digest_of, parse


@dataclass(frozen=True)
class Artifact:
    """A ModelPack artifact, of which the manifest was read."""

    address: OciAddress
    digest: str  # of the manifest
    manifest: Manifest
    blobs: Blobs


def open_artifact(address: OciAddress) -> Artifact:
    """Raises NotFound, CorruptObject, and BadReference for an image, or for an address that names no tag."""
    if not (reference := address.digest or address.tag):
        raise BadReference(f"{address} names no tag; expected {address}:8, or a digest behind an @")
    remote, name = Remote(address), f"the manifest of {address}"
    data = remote.manifest(reference)
    fields = parse_json(data, name)
    config = fields.get("config")
    kind = config.get("mediaType") if isinstance(config, dict) else None
    if fields.get("mediaType") == INDEX or kind == IMAGE_CONFIG:
        raise BadReference(
            f"{address} is an image, to be mounted or copied from; what can be pulled was pushed without --image"
        )
    return Artifact(address, digest_of(data), parse(data, name), Blobs(remote))
