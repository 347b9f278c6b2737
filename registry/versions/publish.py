"""Publish a version: bytes first, the record last, the record create-only.

The protocol, in order:

1. a run that has published before gets its version again (see step 5), and nothing else happens;
2. the files are hashed and the manifest is made; the store is probed (see `registry.stores.probe`);
3. the *run record* `runs/<run id>.json` is created. It holds one number, `after`: the highest version at that
   moment. If it is already there, this run was here before, and the number found in it is used;
4. the missing blobs are uploaded, then ModelPack's configuration, then the manifest. A crash up to here leaves
   only blobs that nothing refers to;
5. from number `after` + 1 upwards a number is claimed by creating its record. When it is taken, the record there
   is read: if it carries our run id it is ours, and is the answer; else the next number is tried.

Why a run never gets two versions, however often, late or concurrently it is repeated: no process of the run
claims anything before the run record exists, so every version of the run has a number above `after`; and a
process claims number n only after it has read all of `after` + 1 ... n - 1 and found none of its own. Of two
processes of one run that claimed m < n, the one that claimed n would have had to read m, which was taken, and
stop there; and m cannot be claimed after n, because n is claimed only when m is taken. A crash after the claim changes
nothing: the next attempt finds the version and returns it.

The run record does not name the version, because then it would have to be written after the claim, and a crash
between the two would leave a run whose version can only be found by reading all versions. `after` bounds the
search as well: it is one read when nobody else published meanwhile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.registry.errors import BadReference, NotFound
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.download import sha256_of
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.document import seal
from tunewright.registry.versions.layout import RunId, Time, blob_key, run_key, version_key
from tunewright.registry.versions.manifest import Layer, build, check_path, config_blob, digest_of, media_type_of
from tunewright.registry.versions.numbered import EXACT, FORMAT, read_record
from tunewright.registry.versions.record import Version, now, read_version, to_bytes, version_numbers


@dataclass(frozen=True)
class _Run:
    """What is kept of a run."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    run_id: RunId
    after: Annotated[int, Field(strict=True, ge=0, lt=10**18)]  # the highest version when it began
    begun: Time


_RUN = TypeAdapter(_Run)


def publish(
    store: Store,
    name: str,
    files: Mapping[str, Path],
    *,
    run_id: str,
    config: Mapping[str, object] | None = None,
    single_writer: bool = False,
) -> Version:
    """Make the next version of a model out of local files (path in the version -> file).

    A run id that has published before gets that version again, whatever the files are now. `config` is any
    JSON-able description (task, metrics, variants ...); it is part of the manifest, so of the digest.
    Raises BadReference, UnsafeStore, AccessDenied, Unreachable, Conflict when a file changes meanwhile.
    """
    done = find_run(store, name, run_id)
    if done:
        return done
    layers = _describe(files)
    manifest = build(layers, config or {})
    if not single_writer:
        probe(store)
    after = _begin_run(store, name, run_id)
    _upload_missing(store, layers, files)
    for blob in (config_blob(layers), manifest):
        store.create(blob_key(digest_of(blob)), blob)
    size = sum(layer.size for layer in layers)
    return _claim(store, Version(name, after + 1, digest_of(manifest), run_id, now(), size))


def find_run(store: Store, name: str, run_id: str) -> Version | None:
    """The version that a run has published; None when it has not."""
    try:
        after = _after(store, run_key(name, run_id))
    except NotFound:
        return None
    number = after + 1
    while True:
        try:
            version = read_version(store, name, number)
        except NotFound:
            return None
        if version.run_id == run_id:
            return version
        number += 1


def _begin_run(store: Store, name: str, run_id: str) -> int:
    """The number after which the version of this run is to be found or to be made."""
    key = run_key(name, run_id)
    highest = max(version_numbers(store, name), default=0)
    if store.create(key, seal({"format": FORMAT, **asdict(_Run(run_id, highest, now()))})):
        return highest
    return _after(store, key)


def _after(store: Store, key: str) -> int:
    return read_record(store, key, _RUN, "the record of a run").after


def _claim(store: Store, wanted: Version) -> Version:
    """Take the first free number from the wanted one on, unless the run turns out to have a version."""
    while True:
        if store.create(version_key(wanted.name, wanted.number), to_bytes(wanted)):
            return wanted
        taken = read_version(store, wanted.name, wanted.number)
        if taken.run_id == wanted.run_id:
            return taken
        wanted = replace(wanted, number=wanted.number + 1, created=now())


def _describe(files: Mapping[str, Path]) -> list[Layer]:
    """Hash the files. Raises BadReference for one that cannot be read."""

    def describe(path: str) -> Layer:
        file = files[check_path(path)]
        try:
            return Layer(path, f"sha256:{sha256_of(file)}", file.stat().st_size, media_type_of(path))
        except OSError as error:
            raise BadReference(f"{path!r} cannot be published: {file} cannot be read ({error.strerror})") from None

    return each(describe, sorted(files))


def _upload_missing(store: Store, layers: Iterable[Layer], files: Mapping[str, Path]) -> None:
    def upload(layer: Layer) -> None:
        key = blob_key(layer.digest)
        if not _is_there(store, key, layer.size):
            store.upload(key, files[layer.path], sha256=layer.digest.removeprefix("sha256:"))

    each(upload, {layer.digest: layer for layer in layers}.values())


def _is_there(store: Store, key: str, size: int) -> bool:
    """Whether a whole blob is there. Its bytes are not read again: that is what `verify` is for."""
    return store.exists(key) and store.stat(key).size == size
