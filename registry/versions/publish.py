"""Publish a version: bytes first, the record last, the record create-only.

The protocol, in order:

1. a run that has published before gets its version again (see step 5), and nothing else happens;
2. the files are hashed and the manifest is made; the store is probed (see `registry.stores.probe`);
3. the *run record* `runs/<run id>.json` is created. It holds one number, `after`: the highest version at that
   moment. If it is already there, this run was here before, and the number found in it is used. A number counts as
   given when anything tells of it (see `_highest_told`): a record that has vanished, by a rule of the bucket or by
   hand, does not free its number, which an alias may still point at;
4. the missing blobs are uploaded, then ModelPack's configuration, then the manifest; what is there is compared, and
   replaced where it is something else, so that no version is born damaged. A crash up to here leaves only blobs that
   nothing refers to;
5. from number `after` + 1 upwards a number is claimed by creating its record. When it is taken, the record there
   is read: if it carries our run id it is ours, and is the answer; else the next number is tried. What is known to
   have been given is not claimed, only read; it is passed over where it has vanished;
6. where blobs that nothing refers to are collected (`gc/begun` is there), it is looked whether all are there still,
   and what a collection has just taken is sent again (see `kept`, and
   `docs/decisions/0029-garbage.md`).

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

import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.registry.errors import BadReference, CorruptObject, NotFound
from tunewright.registry.progress import moved, transfer
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Stat, Store
from tunewright.registry.transfer.download import sha256_of
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.alias import last_entries
from tunewright.registry.versions.document import seal
from tunewright.registry.versions.latest import latest
from tunewright.registry.versions.layout import (
    GC_BEGUN,
    RunId,
    Time,
    aliases_prefix,
    blob_key,
    mark_key,
    model_prefix,
    run_key,
    runs_prefix,
    version_key,
    version_marks,
    versions_prefix,
)
from tunewright.registry.versions.manifest import Layer, build, check_path, config_blob, digest_of, media_type_of, parse
from tunewright.registry.versions.numbered import EXACT, WIDEST_GAP, mark, read_record
from tunewright.registry.versions.pull import digests_of, read_manifest
from tunewright.registry.versions.record import (
    Summary,
    Version,
    below,
    now,
    numbers_given,
    read_version,
    to_bytes,
    who,
)

YOUNG = 12 * 3600.0
"""Seconds in which a blob that was written is relied on without a second thought."""
LEAST_GRACE = 2 * YOUNG
"""Seconds for which a collection leaves alone what nothing refers to, at least."""

Kept = Collection[str] | None
"""The digests that stay whatever their age; None where nobody has ever collected anything: all do."""


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
    summary: Summary | None = None,
    single_writer: bool = False,
    hashed: Iterable[Layer] = (),
) -> Version:
    """Make the next version of a model out of local files (path in the version -> file).

    A run id that has published before gets that version again, whatever the files are now. `config` is any
    JSON-able description (task, metrics, variants ...); it is part of the manifest, so of the digest. `summary` is
    what lists tell of it; it is part of the record. `hashed`: those of the files that `describe` was asked for already.
    Raises BadReference, UnsafeStore, AccessDenied, Unreachable, Conflict when a file changes meanwhile.
    """
    done = find_run(store, name, run_id)
    if done:
        return done
    known = {layer.path: layer for layer in hashed}
    rest = describe({path: file for path, file in files.items() if path not in known})
    layers = sorted([*known.values(), *rest], key=lambda layer: layer.path)
    manifest = build(layers, config or {})
    size = sum(layer.size for layer in layers)
    told = Version(name, 1, digest_of(manifest), run_id, now(), size, who=who(), summary=summary or Summary())

    def send() -> None:
        those = kept(store, name)
        blobs = {layer.digest: layer for layer in layers}.values()
        with transfer(name, sum(layer.size for layer in blobs), "sent"):
            each(lambda layer: put_file(store, layer.digest, files[layer.path], those), blobs)
        for blob in (config_blob(layers), manifest):
            put_blob(store, blob, those)

    if not single_writer:
        probe(store)
    return register(store, told, digests_of(told, parse(manifest)), send)


def register(store: Store, told: Version, digests: Collection[str], send: Callable[[], None]) -> Version:
    """Steps 3 to 6 of the protocol: the version as it is recorded, with its number.

    `told` says all of it but its number and the version before; `send` has every blob of it, which are those of the
    `digests`, in the store.
    """
    after, highest = _begin_run(store, told.name, told.run_id)
    send()
    version = _claim(store, replace(told, number=after + 1), highest)
    if version.digest == told.digest and not all_there(store, digests):
        send()
    return version


def find_run(store: Store, name: str, run_id: str) -> Version | None:
    """The version that a run has published; None when it has not."""
    try:
        after = after_of(store, run_key(name, run_id))
    except NotFound:
        return None
    number = after + 1
    while True:
        version = _find(store, name, number)
        if version is None:
            # There may be more above one that has vanished.
            there, _ = numbers_given(store, name, store.list(versions_prefix(name)))
            above = [one for one in there if one > number]
            if not above:
                return None
            number = above[0]
        elif version.run_id == run_id:
            return version
        else:
            number += 1


def _begin_run(store: Store, name: str, run_id: str) -> tuple[int, int]:
    """The number after which the version of this run is to be found or to be made, and the highest that was given."""
    key = run_key(name, run_id)
    highest = _highest_told(store, name)
    if store.create(key, seal({"format": 1, **asdict(_Run(run_id, highest, now()))})):
        return highest, highest
    return after_of(store, key), highest


def _highest_told(store: Store, name: str) -> int:
    """The highest number that anything tells of, so that none is given twice.

    It is told by the records of versions, by deletions, by where each alias has pointed, and by the run that began
    last. One listing finds them all; of each alias, and of the runs, one object is read.
    """
    listed = list(store.list(model_prefix(name)))
    there, deleted = numbers_given(store, name, below(listed, versions_prefix(name)))
    highest = max([0, *there, *deleted])
    told = [_last_run(store, below(listed, runs_prefix(name)))]
    for entry in last_entries(store, name, below(listed, aliases_prefix(name))):
        told += [entry.number, entry.previous or 0, entry.highest or 0]
    # One far above the records was not given by a publisher, and a version of that number would be a stranger.
    return max(number for number in (highest, *told) if not highest or number - highest < WIDEST_GAP)


def _last_run(store: Store, listed: Iterable[Stat]) -> int:
    """The highest version when the last run began; 0 where that cannot be read."""
    last = max(listed, key=lambda stat: stat.modified, default=None)
    try:
        return after_of(store, last.key) if last else 0
    except (CorruptObject, NotFound):
        return 0


def after_of(store: Store, key: str) -> int:
    """The highest version when a run began. Raises NotFound, CorruptObject."""
    return read_record(store, key, _RUN, "the record of a run").after


def _claim(store: Store, wanted: Version, told: int) -> Version:
    """Take the first free number from the wanted one on that was never given, unless the run turns out to have a
    version."""
    before = _before(store, wanted.name, wanted.number - 1)
    while True:
        if wanted.number > told:
            wanted = replace(wanted, created=now(), previous=before.digest if before else None)
            if store.create(version_key(wanted.name, wanted.number), to_bytes(wanted)):
                mark(store, mark_key(version_marks(wanted.name), wanted.number))
                return wanted
            before = read_version(store, wanted.name, wanted.number)
        else:
            before = _find(store, wanted.name, wanted.number)
        if before and before.run_id == wanted.run_id:
            return before
        wanted = replace(wanted, number=wanted.number + 1)


def _find(store: Store, name: str, number: int) -> Version | None:
    try:
        return read_version(store, name, number)
    except NotFound:
        return None


def _before(store: Store, name: str, number: int) -> Version | None:
    """The version before the one that is wanted; a new one can do without."""
    try:
        return _find(store, name, number) if number else None
    except CorruptObject:
        return None


def describe(files: Mapping[str, Path]) -> list[Layer]:
    """Hash the files. Raises BadReference for one that cannot be read."""

    def describe(path: str) -> Layer:
        file = files[check_path(path)]
        try:
            return Layer(path, f"sha256:{sha256_of(file)}", file.stat().st_size, media_type_of(path))
        except OSError as error:
            raise BadReference(f"{path!r} cannot be published: {file} cannot be read ({error.strerror})") from None

    return each(describe, sorted(files))


def kept(store: Store, name: str) -> Kept:
    """What is relied on while a version of this model is made."""
    if not store.exists(GC_BEGUN):
        return None
    try:
        last = latest(store, name).version
        return digests_of(last, read_manifest(store, last))
    except (CorruptObject, NotFound):  # it is the first, or another one cannot be read
        return ()


def relied_on(store: Store, digest: str, those: Kept, is_whole: Callable[[], bool]) -> bool:
    """Whether a blob is there whole, and will be until the version that needs it is claimed."""
    try:
        return is_whole() and (
            those is None or digest in those or time.time() - store.stat(blob_key(digest)).modified < YOUNG
        )
    except NotFound:  # a collection has just taken it
        return False


def put_file(store: Store, digest: str, path: Path, those: Kept = None) -> bool:
    """Have a file in the store, whatever lay under its digest before; whether it had to be written."""
    key, sha256 = blob_key(digest), digest.removeprefix("sha256:")
    if relied_on(store, digest, those, lambda: store.holds(key, path, sha256=sha256)):
        moved("sent", path.stat().st_size)
        return False
    store.upload(key, path, sha256=sha256)
    return True


def put_blob(store: Store, data: bytes, those: Kept = None) -> bool:
    """The same with bytes."""
    digest = digest_of(data)
    if store.create(blob_key(digest), data):
        return True
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return put_file(store, digest, Path(file.name), those)


def all_there(store: Store, digests: Collection[str]) -> bool:
    """Whether nothing was collected that a version needs which is claimed by now."""
    return not store.exists(GC_BEGUN) or all(each(lambda digest: store.exists(blob_key(digest)), digests))
