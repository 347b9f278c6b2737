"""`tunewright push`."""

import argparse

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer, warn
from tunewright.registry.commands.pulling import of_variant
from tunewright.registry.errors import BadReference
from tunewright.registry.oci.address import parse_oci
from tunewright.registry.oci.image import push_image
from tunewright.registry.oci.push import push
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.versions.pull import pull, read_manifest


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    made.add_argument("address", metavar="OCI", help="oci://host/repository:tag; without a tag it is the number")
    said = "an image with the files under /models, to be mounted or copied from, in place of a ModelPack artifact"
    made.add_argument("--image", action="store_true", help=said)
    made.add_argument(
        "--variant", help="with --image: what serves one of the folders in onnx/ alone, as in fp32 or int8"
    )
    add_json(made)


def _push(store: Store, options: argparse.Namespace) -> int:
    address = parse_oci(options.address)
    if options.variant and not options.image:
        raise BadReference("--variant is given without --image: an artifact has the version's digest, so all its files")
    trust = open_trust(RegistrySettings())
    version = trust.resolve(store, options.reference)
    manifest = read_manifest(store, version)
    chosen = of_variant(options.variant, version, manifest)

    def only(path: str) -> bool:
        # Who asks for one variant wants to serve it, which takes no weights to train on.
        return chosen(path) and not (options.variant and path.startswith("weights/"))

    pulled = pull(store, version, cache=RegistrySettings().cache, only=only, manifest=manifest)
    warn(trust.warning_of(store, version))
    if options.image:
        pushed = push_image(pulled, address, only=only, variant=options.variant)
    else:
        pushed = push(store, pulled, address)
    said = f"{version} is pushed to {pushed.address} ({size_text(pushed.bytes)} were not there yet)"
    facts = {"version": str(version), "address": str(pushed.address), "bytes": pushed.bytes}
    answer(said, facts, as_json=options.json)
    return 0


PUSH = Command(_add, _push)
