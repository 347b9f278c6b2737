"""Sign what an OCI registry holds, with a key and without anybody else: in the form of cosign, which clusters verify.

Form: sigstore/cosign, specs/SIGNATURE_SPEC.md. Signatures are layers of a manifest under the tag `sha256-<digest>.sig`.
Each says which digest was signed, and its annotation is the signature of those bytes.
"""

import base64
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tunewright.registry.errors import BadReference
from tunewright.registry.oci.address import OciAddress
from tunewright.registry.oci.media_types import DOCKER_MANIFEST, DOCKER_MANIFESTS, IMAGE_CONFIG, INDEX
from tunewright.registry.oci.push import upload
from tunewright.registry.oci.remote import Remote
from tunewright.registry.trust.keys import Signer
from tunewright.registry.versions.document import canonical
from tunewright.registry.versions.document import parse as parse_json
from tunewright.registry.versions.layout import check_digest
from tunewright.registry.versions.manifest import MEDIA_TYPE, descriptor, digest_of

_PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_KINDS = ", ".join((MEDIA_TYPE, INDEX, DOCKER_MANIFEST, DOCKER_MANIFESTS))


def sign_image(address: OciAddress, signer: Signer) -> OciAddress:
    """Sign what a tag or a digest names now; its address, with the digest. Signatures of other keys stay. Of an image
    for several platforms that of each is signed as well: podman and CRI-O look for the signature of the one they pull.

    Raises BadReference for an address with neither, NotFound, AccessDenied, Unreachable, CorruptObject.
    """
    if not (address.tag or address.digest):
        raise BadReference(f"{address} names no tag; expected {address}:8, or a digest behind an @")
    remote = Remote(address, actions="pull,push")
    manifest = remote.manifest(address.digest or str(address.tag), _KINDS)
    digest = digest_of(manifest)
    for platform in _platforms(manifest, str(address)):
        _sign(remote, platform, signer)
    _sign(remote, digest, signer)
    return replace(address, digest=digest)


def _platforms(manifest: bytes, named: str) -> list[str]:
    """The digests of the images of an index; none of an image."""
    found = parse_json(manifest, named).get("manifests")
    digests = [one.get("digest") for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return [check_digest(str(digest)) for digest in digests]


def _sign(remote: Remote, digest: str, signer: Signer) -> None:
    payload = _payload(remote.address, digest)
    signature = base64.b64encode(signer.sign(payload)).decode()
    tag = f"{digest.replace(':', '-')}.sig"
    layer = {**descriptor(_PAYLOAD, digest_of(payload), len(payload)), "annotations": {_SIGNATURE: signature}}
    others = [one for one in _layers(remote, tag) if one != layer]
    layers = [*others, layer]
    config = canonical(
        {
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [one["digest"] for one in layers]},
        }
    )
    with TemporaryDirectory(prefix="tunewright-") as folder:
        files = {digest_of(data): Path(folder) / digest_of(data)[-16:] for data in (payload, config)}
        for data in (payload, config):
            files[digest_of(data)].write_bytes(data)
        upload(remote, files)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE,
        "config": descriptor(IMAGE_CONFIG, digest_of(config), len(config)),
        "layers": layers,
    }
    remote.put_manifest(canonical(manifest), MEDIA_TYPE, tag)


def _payload(address: OciAddress, digest: str) -> bytes:
    """What is signed: this digest under the name of this repository."""
    return canonical(
        {
            "critical": {
                "identity": {"docker-reference": f"{address.host}/{address.repository}"},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": {},
        }
    )


def _layers(remote: Remote, tag: str) -> list[dict[str, object]]:
    """The signatures that are there."""
    data = remote.find_manifest(tag)
    layers = parse_json(data, f"the signatures of {remote.address}").get("layers") if data else []
    return [one for one in layers if isinstance(one, dict)] if isinstance(layers, list) else []
