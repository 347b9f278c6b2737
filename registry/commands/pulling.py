"""`tunewright pull`."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer
from tunewright.registry.completion import names_a
from tunewright.registry.errors import NotFound
from tunewright.registry.oci.address import is_oci, parse_oci
from tunewright.registry.oci.fetch import open_artifact
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.manifest import Manifest
from tunewright.registry.versions.pull import Only, pull_into, put_files, read_manifest
from tunewright.registry.versions.reference import resolve


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made, "REF|OCI")
    to = made.add_argument("--to", required=True, type=Path, metavar="DIR", help="the folder; made when missing")
    names_a(to, "directory")
    made.add_argument("--variant", help="of the folders in onnx/ only this one, as in fp32 or int8")
    add_json(made)


def _pull(store: Store, options: argparse.Namespace) -> int:
    if is_oci(options.reference):
        return _pull_artifact(options)
    version = resolve(store, options.reference)
    manifest = read_manifest(store, version)
    only = of_variant(options.variant, version, manifest)
    pulled = pull_into(store, version, options.to, only=only)
    facts = {"name": version.name, "number": version.number, "digest": version.digest}
    return _tell(str(version), facts, manifest, only, pulled.folder, options)


def _pull_artifact(options: argparse.Namespace) -> int:
    artifact = open_artifact(parse_oci(options.reference))
    only = of_variant(options.variant, artifact.address, artifact.manifest)
    put_files(artifact.blobs, artifact.manifest, options.to, only=only)
    facts = {"address": str(artifact.address), "digest": artifact.digest}
    return _tell(str(artifact.address), facts, artifact.manifest, only, options.to.absolute(), options)


def _tell(
    name: str, facts: Mapping[str, object], manifest: Manifest, only: Only, folder: Path, options: argparse.Namespace
) -> int:
    files = [layer for layer in manifest.layers if only(layer.path)]
    size = sum(layer.size for layer in files)
    said = f"{name}: {len(files)} files, {size_text(size)}, in {folder}"
    answer(said, {**facts, "files": len(files), "size": size, "folder": str(folder)}, as_json=options.json)
    return 0


def of_variant(variant: str | None, what: object, manifest: Manifest) -> Only:
    """Which files to fetch: everything, or everything but the other variants. Raises NotFound."""
    if variant is None:
        return lambda _: True
    paths = [layer.path for layer in manifest.layers]
    variants = sorted({path.split("/")[1] for path in paths if path.startswith("onnx/")})
    if variant not in variants:
        raise NotFound(f"{what} has no variant {variant!r}; it has {', '.join(variants) or 'none'}")
    return lambda path: not path.startswith("onnx/") or path.startswith(f"onnx/{variant}/")


PULL = Command(_add, _pull)
