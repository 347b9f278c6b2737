"""The blobs of a version that is being made, while old ones may be collected.

What is there already is compared with its digest and not sent again. Where blobs are collected from time to time, one
that no version may refer to is written again once it is old, and after the version is claimed it is looked whether all
are there (`docs/decisions/0029-garbage.md`).
"""

import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.layout import GC_BEGUN, blob_key
from tunewright.registry.versions.manifest import digest_of
from tunewright.registry.versions.pull import digests_of, read_manifest
from tunewright.registry.versions.record import latest_number, read_version

YOUNG = 12 * 3600.0
"""Seconds in which a blob that was written is relied on without a second thought."""
LEAST_GRACE = 2 * YOUNG
"""Seconds for which a collection leaves alone what nothing refers to, at least."""

Kept = Collection[str] | None
"""The digests that stay whatever their age; None where nobody has ever collected anything: all do."""


def kept(store: Store, name: str) -> Kept:
    """What is relied on while a version of this model is made."""
    if not store.exists(GC_BEGUN):
        return None
    try:
        latest = read_version(store, name, latest_number(store, name))
        return digests_of(latest, read_manifest(store, latest))
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
