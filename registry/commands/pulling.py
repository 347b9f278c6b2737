"""`tunewright pull`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer
from tunewright.registry.completion import names_a
from tunewright.registry.errors import NotFound
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.pull import pull_into, read_manifest
from tunewright.registry.versions.record import Version
from tunewright.registry.versions.reference import resolve


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    to = made.add_argument("--to", required=True, type=Path, metavar="DIR", help="the folder; made when missing")
    names_a(to, "directory")
    made.add_argument("--variant", help="of the folders in onnx/ only this one, as in fp32 or int8")
    add_json(made)


def _pull(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    layers = read_manifest(store, version).layers
    only = _only(options.variant, version, [layer.path for layer in layers])
    pulled = pull_into(store, version, options.to, only=only)
    files = [layer for layer in layers if only(layer.path)]
    size = sum(layer.size for layer in files)
    said = f"{version}: {len(files)} files, {size_text(size)}, in {pulled.folder}"
    facts = {"name": version.name, "number": version.number, "digest": version.digest}
    answer(said, {**facts, "files": len(files), "size": size, "folder": str(pulled.folder)}, as_json=options.json)
    return 0


def _only(variant: str | None, version: Version, paths: Sequence[str]) -> Callable[[str], bool]:
    """Which files to fetch: everything, or everything but the other variants. Raises NotFound."""
    if variant is None:
        return lambda _: True
    variants = sorted({path.split("/")[1] for path in paths if path.startswith("onnx/")})
    if variant not in variants:
        raise NotFound(f"{version} has no variant {variant!r}; it has {', '.join(variants) or 'none'}")
    return lambda path: not path.startswith("onnx/") or path.startswith(f"onnx/{variant}/")


PULL = Command(_add, _pull)
