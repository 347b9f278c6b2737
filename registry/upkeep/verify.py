"""Verify what lies in a registry: read every blob again and compare the digests, and look how records fit together."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.progress import transfer
from tunewright.registry.stores.ranges import sha256_of_object
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.alias import history, last_entries, promoted
from tunewright.registry.versions.latest import yanked
from tunewright.registry.versions.layout import aliases_prefix, blob_key, runs_prefix, versions_prefix
from tunewright.registry.versions.manifest import Layer, Manifest
from tunewright.registry.versions.numbered import OnFault
from tunewright.registry.versions.publish import after_of
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.record import Version, model_names, numbers_given, read_version, version_numbers
from tunewright.registry.versions.reference import resolve

CONFIG = "the ModelPack configuration"
_READINGS = 2  # of a blob before it is said to be damaged: a bit that flipped on the way seldom flips twice


@dataclass(frozen=True)
class Verified:
    """What a verification found."""

    version: Version
    files: int
    size: int  # bytes read
    problems: tuple[str, ...]  # one sentence each; empty when all is well
    damaged: tuple[str, ...] = ()  # the digests of the blobs that are not whole


def verify(store: Store, wanted: str | Version, *, known: dict[str, str | None] | None = None) -> Verified:
    """Read every byte of a version. Raises NotFound or BadReference when there is no such version.

    `known`: what was found of blobs by their digest, which are not read again.
    """
    version, known = resolve(store, wanted), {} if known is None else known
    try:
        manifest = read_manifest(store, version)
    except (NotFound, CorruptObject) as error:
        return Verified(version, 0, 0, (str(error),), (version.digest,))
    layers = parts_of(manifest)
    unread = {layer.digest: layer for layer in layers if layer.digest not in known}
    with transfer(str(version), sum(layer.size for layer in unread.values()), "read"):
        known |= dict(zip(unread, each(lambda layer: problem_of(store, layer), unread.values()), strict=True))
    bad = [layer for layer in layers if known[layer.digest]]
    problems = tuple(f"{layer.path}: {known[layer.digest]}" for layer in bad)
    return Verified(version, len(manifest.layers), manifest.size, problems, tuple(layer.digest for layer in bad))


def verify_model(store: Store, name: str, *, known: dict[str, str | None], on_fault: OnFault) -> Iterator[Verified]:
    """Each version of a model; `on_fault` is told what is wrong with records, aliases, runs, yanks and numbers."""
    there, deleted = numbers_given(store, name, store.list(versions_prefix(name)), on_fault=on_fault)
    versions = []
    for number in there:
        try:
            versions.append(read_version(store, name, number))
        except CorruptObject as error:
            on_fault(str(error))
    for number in sorted(set(range(1, max([0, *there]))) - {*there, *deleted}):
        on_fault(f"the record of {name}:{number} is not in {store.uri}, and nothing tells that it was deleted")
    for before, after in pairwise(versions):
        if after.number == before.number + 1 and after.previous not in (None, before.digest):
            on_fault(
                f"{after} was published after {before} with the manifest {after.previous}, and the record of {before} "
                f"in {store.uri} names {before.digest}: one of them was exchanged"
            )
    _verify_logs(store, name, on_fault)
    yanked(store, name, on_fault=on_fault, deleted=deleted)
    for version in versions:
        if version.number not in deleted:
            yield verify(store, version, known=known)


def _verify_logs(store: Store, name: str, on_fault: OnFault) -> None:
    for last in last_entries(store, name, store.list(aliases_prefix(name)), on_fault=on_fault):
        try:
            history(store, name, last.alias)
            if last.points:
                promoted(store, last)
        except (CorruptObject, NotFound) as error:
            on_fault(str(error))
    for stat in store.list(runs_prefix(name)):
        try:
            after_of(store, stat.key)
        except CorruptObject as error:
            on_fault(str(error))


def sharers(store: Store, digests: Collection[str]) -> dict[str, list[str]]:
    """The versions of all models that hold each of these blobs."""
    found: dict[str, list[str]] = {digest: [] for digest in digests}
    for name in model_names(store):
        for number in version_numbers(store, name):
            try:
                version = read_version(store, name, number)
                held_there = {version.digest}
                held_there |= {layer.digest for layer in parts_of(read_manifest(store, version))}
            except (CorruptObject, NotFound):
                continue
            for digest in held_there & found.keys():
                found[digest].append(str(version))
    return found


def parts_of(manifest: Manifest) -> tuple[Layer, ...]:
    """Everything that a manifest refers to."""
    return (*manifest.layers, Layer(CONFIG, manifest.config_digest, manifest.config_size, ""))


def problem_of(store: Store, layer: Layer) -> str | None:
    """What is wrong with a blob, read again before it is accused; None for one that is whole."""
    key = blob_key(layer.digest)
    try:
        stat = store.stat(key)
    except NotFound:
        return f"the blob {key!r} is missing"
    if stat.size != layer.size:
        return f"the blob {key!r} holds {stat.size} bytes, expected {layer.size}"
    for _ in range(_READINGS):
        found = sha256_of_object(store, stat)
        if f"sha256:{found}" == layer.digest:
            return None
    return f"the blob {key!r} is damaged, its sha256 is {found}"
