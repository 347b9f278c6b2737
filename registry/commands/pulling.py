"""`tunewright pull`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer, counted, say, warn
from tunewright.registry.completion import names_a
from tunewright.registry.errors import BadReference
from tunewright.registry.oci.address import is_oci, parse_oci
from tunewright.registry.oci.fetch import open_artifact
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.upkeep.update import Record, read_record, update, write_record
from tunewright.registry.versions.manifest import Layer, Manifest
from tunewright.registry.versions.pull import Only, pull, put_files, read_manifest
from tunewright.registry.versions.record import Version


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made, "REF|OCI")
    said = "the folder; made when missing. Without it the files stay in the cache, and their folder is printed"
    names_a(made.add_argument("--to", type=a_folder, metavar="DIR", help=said), "directory")
    made.add_argument("--variant", help="of the folders in onnx/ only this one, as in fp32 or int8")
    made.add_argument("--update", action="store_true", help="where DIR holds an older version, make it this one")
    made.add_argument("--force", action="store_true", help="replace files that somebody has changed as well")
    add_json(made)


def a_folder(text: str) -> Path:
    if not text.strip() or "://" in text:
        what = "an address" if text.strip() else "empty"
        raise argparse.ArgumentTypeError(f"{text!r} is {what}; expected a folder of this machine")
    return Path(text)


def refuse_ours(store: Store, folder: Path) -> None:
    """BadReference for a folder in which a registry or the cache keeps what is its own."""
    for what, ours in (("registry", store.uri), ("cache", str(RegistrySettings().cache))):
        if "://" not in ours and folder.resolve().is_relative_to(Path(ours).resolve()):
            raise BadReference(
                f"{folder} lies in the {what} {ours}, which keeps files of its own; choose another folder"
            )


def _pull(store: Store, options: argparse.Namespace) -> int:
    if options.to is not None:
        refuse_ours(store, options.to)
    if options.force and not options.update:
        raise BadReference("--force has no effect without --update: nothing else replaces a file")
    if is_oci(options.reference):
        return _pull_artifact(options)
    if options.to is None:
        return _pull_to_cache(store, options)
    version = _asked(store, options)
    if options.update and (record := read_record(options.to)):
        return _update(store, version, record, options)
    if options.update and options.to.is_dir() and any(options.to.iterdir()):
        raise BadReference(
            f"{options.to} holds no record of a pull, which earlier releases and pulls of oci:// do not write: what "
            "of it is somebody's own cannot be told; pull into an empty folder once"
        )
    manifest = read_manifest(store, version)
    only = of_variant(options.variant, version, manifest)
    files = _chosen(manifest, only)
    put_files(store, manifest, options.to, only=only)
    folder = options.to.absolute()
    write_record(folder, version, files, options.variant)
    return _tell(str(version), _facts(version), files, folder, options)


def _asked(store: Store, options: argparse.Namespace) -> Version:
    """The version; of one that is yanked it is told on standard error."""
    trust = open_trust(RegistrySettings())
    version = trust.resolve(store, options.reference)
    warn(trust.warning_of(store, version))
    return version


def _pull_to_cache(store: Store, options: argparse.Namespace) -> int:
    """The folder alone is printed, as scripts want it; the sentence goes where people read it too."""
    if options.update:
        raise BadReference("--update needs --to DIR, the folder that is to be brought up to date")
    version = _asked(store, options)
    manifest = read_manifest(store, version)
    only = of_variant(options.variant, version, manifest)
    files = _chosen(manifest, only)
    folder = pull(store, version, cache=RegistrySettings().cache, only=only, manifest=manifest).folder
    if options.json:
        return _tell(str(version), _facts(version), files, folder, options)
    say(str(folder))
    say(_said(str(version), files, folder), sys.stderr)
    return 0


def _pull_artifact(options: argparse.Namespace) -> int:
    if options.update or options.to is None:
        raise BadReference(
            "what is pulled from an OCI registry goes to an empty folder; say --to DIR, and not --update"
        )
    open_trust(RegistrySettings()).require_none(options.reference)
    if record := read_record(options.to):
        raise BadReference(
            f"{options.to} holds {record.name}:{record.number}; pull {options.reference} into an empty folder"
        )
    artifact = open_artifact(parse_oci(options.reference))
    only = of_variant(options.variant, artifact.address, artifact.manifest)
    put_files(artifact.blobs, artifact.manifest, options.to, only=only)
    facts = {"address": str(artifact.address), "digest": artifact.digest}
    return _tell(str(artifact.address), facts, _chosen(artifact.manifest, only), options.to.absolute(), options)


def _update(store: Store, version: Version, record: Record, options: argparse.Namespace) -> int:
    """Of the variant that was pulled before, unless another one is asked for."""
    manifest, variant = read_manifest(store, version), options.variant or record.variant
    files, folder = _chosen(manifest, of_variant(variant, version, manifest)), options.to.absolute()
    done = update(store, version, files, folder, record, force=options.force, variant=variant)
    moved = f"{counted(len(done.moved), 'file')}, {size_text(sum(layer.size for layer in done.moved))} moved"
    said = f"{record.name}:{done.before} -> {version}: {moved}, {len(done.removed)} removed, in {folder}"
    facts = {"before": done.before, "moved": [layer.path for layer in done.moved], "removed": done.removed}
    answer(said, {**_facts(version), **_sizes(files, folder), **facts}, as_json=options.json)
    return 0


def _tell(
    name: str, facts: Mapping[str, object], files: Sequence[Layer], folder: Path, options: argparse.Namespace
) -> int:
    answer(_said(name, files, folder), {**facts, **_sizes(files, folder)}, as_json=options.json)
    return 0


def _said(name: str, files: Sequence[Layer], folder: Path) -> str:
    return f"{name}: {counted(len(files), 'file')}, {size_text(sum(layer.size for layer in files))}, in {folder}"


def _facts(version: Version) -> dict[str, object]:
    return {"name": version.name, "number": version.number, "digest": version.digest}


def _sizes(files: Sequence[Layer], folder: Path) -> dict[str, object]:
    return {"files": len(files), "size": sum(layer.size for layer in files), "folder": str(folder)}


def _chosen(manifest: Manifest, only: Only) -> list[Layer]:
    return [layer for layer in manifest.layers if only(layer.path)]


def of_variant(variant: str | None, what: object, manifest: Manifest) -> Only:
    """Which files to fetch: everything, or everything but the other variants. Raises NotFound."""
    if variant is None:
        return lambda _: True
    manifest.require_variant(variant, what)
    return lambda path: not path.startswith("onnx/") or path.startswith(f"onnx/{variant}/")


PULL = Command(_add, _pull)
