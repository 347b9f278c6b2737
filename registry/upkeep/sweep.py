"""Remove what nothing refers to, so that no version loses a blob whoever publishes meanwhile, or dies.

The order, and why it is enough, stands in `docs/decisions/0029-garbage.md`: a blob is copied to the trash before it is
removed, and stays there until a look at the registry which began after the removal has found that nobody needs it.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tunewright.registry.errors import NotFound
from tunewright.registry.stores.key import Leftover, Stat
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.upkeep.mark import Mark, Seen
from tunewright.registry.versions.layout import (
    BLOBS,
    GC_BEGUN,
    MODELS,
    TRASH,
    blob_key,
    collection_key,
    digest_in,
    digest_named,
    trash_key,
)

_BATCH = 100
"""Blobs that are in the trash at a time."""
_WRITTEN = (BLOBS, MODELS, TRASH)


@dataclass
class Collected:
    """What a collection has removed, or would remove."""

    blobs: list[Stat] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    """Digests that were put back: of a collection that did not come to its end, or claimed meanwhile."""
    trash: int = 0
    """Bytes that stay in the trash, for runs that have begun; a later collection removes them."""

    @property
    def size(self) -> int:
        """Bytes of all that goes."""
        return sum(blob.size for blob in self.blobs) + sum(one.size for one in self.leftovers)


def would_collect(store: Store, *, grace: float, now: float) -> Collected:
    """What `collect` would remove at a time (seconds since 1970). Nothing is written. Raises CorruptObject."""
    until = now - grace
    seen = Mark(store).look(until)
    return Collected(_unneeded(store, seen, until), _old(store, until))


def collect(store: Store, *, grace: float) -> Collected:
    """Remove the blobs that nothing refers to, and what broken writes have left, all older than `grace` (seconds).

    Raises CorruptObject for a registry that is not understood whole, AccessDenied.
    """
    collection = uuid.uuid4().hex
    store.create(GC_BEGUN, b"blobs that nothing refers to are removed here\n")
    store.create(collection_key(collection), b"")
    until = store.stat(collection_key(collection)).modified - grace  # by the clock of the store, which ages its objects
    mark, done = Mark(store), Collected()
    try:
        seen = mark.look(until)
        _empty_trash(store, seen, until, done)
        unneeded = _unneeded(store, seen, until)
        for start in range(0, len(unneeded), _BATCH):
            _remove(store, collection, unneeded[start : start + _BATCH], lambda: mark.look(until), until, done)
        for leftover in _old(store, until):
            store.discard(leftover)
            done.leftovers.append(leftover)
    finally:
        if not any(digest_in(stat.key) for stat in store.list(f"{TRASH}{collection}/")):
            store.delete(collection_key(collection))
    return done


def trash_of(store: Store) -> int:
    """Bytes that collections keep for runs that have begun."""
    return sum(stat.size for stat in store.list(TRASH) if digest_in(stat.key))


def _remove(
    store: Store, collection: str, batch: Sequence[Stat], look: Callable[[], Seen], until: float, done: Collected
) -> None:
    """Remove what is not needed still, by a look after it was copied; put back what is needed, by a look after that."""
    copied = each(lambda stat: _copied(store, stat.key, trash_key(collection, digest_named(stat.key))), batch)
    batch = [stat for stat, is_copied in zip(batch, copied, strict=True) if is_copied]
    live = look().live

    def remove(stat: Stat) -> bool:
        if digest_named(stat.key) in live or not _is_old(store, stat.key, until):
            return False
        store.delete(stat.key)
        return True

    gone = [stat for stat, is_gone in zip(batch, each(remove, batch), strict=True) if is_gone]
    seen = look()
    live = seen.live
    back = [stat for stat in gone if digest_named(stat.key) in live]
    for stat in back:
        store.copy(trash_key(collection, digest_named(stat.key)), stat.key)
        done.restored.append(digest_named(stat.key))
    out = [stat for stat in gone if stat not in back]
    done.blobs += out
    if seen.in_flight:
        done.trash += sum(stat.size for stat in out)
    kept = {stat.key for stat in out} if seen.in_flight else set()
    for stat in batch:
        if stat.key not in kept:
            store.delete(trash_key(collection, digest_named(stat.key)))


def _empty_trash(store: Store, seen: Seen, until: float, done: Collected) -> None:
    """Put back what a version needs, whoever has removed it, and let go what is kept for nobody any more."""
    trash, live = list(store.list(TRASH)), seen.live
    old = {stat.key.rpartition("/")[0] for stat in trash if digest_in(stat.key) is None and stat.modified < until}
    # What tells of a collection goes last: without it its trash would be of no age.
    for stat in sorted(trash, key=lambda stat: digest_in(stat.key) is None):
        digest = digest_in(stat.key)
        if digest in live and not store.exists(blob_key(digest)):
            done.restored += [digest] if _copied(store, stat.key, blob_key(digest)) else []
        if stat.key.rpartition("/")[0] in old:
            store.delete(stat.key)


def _unneeded(store: Store, seen: Seen, until: float) -> list[Stat]:
    live = seen.live
    return [
        stat
        for stat in store.list(BLOBS)
        if (digest := digest_in(stat.key)) and digest not in live and stat.modified < until
    ]


def _old(store: Store, until: float) -> list[Leftover]:
    found: Iterable[Leftover] = (one for prefix in _WRITTEN for one in store.leftovers(prefix))
    return [one for one in found if one.modified < until]


def _copied(store: Store, key: str, target: str) -> bool:
    """Whether an object could be copied; it may be another collection's, and gone meanwhile."""
    try:
        store.copy(key, target)
    except NotFound:
        return False
    return True


def _is_old(store: Store, key: str, until: float) -> bool:
    """Whether a blob is there, and nobody has written it again."""
    try:
        return store.stat(key).modified < until
    except NotFound:
        return False
