"""`tunewright gc`, `stats` and `cache`: how much room a registry and the cache take, and what of it can go."""

import argparse
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

from tunewright.registry.commands.command import Command, add_json
from tunewright.registry.commands.output import answer, counted, print_json, print_pairs, print_table, say
from tunewright.registry.errors import BadReference
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.yanks import signed_yanks
from tunewright.registry.upkeep.cache import look, prune
from tunewright.registry.upkeep.mark import Mark, refuse_to_count
from tunewright.registry.upkeep.retention import out_of_use
from tunewright.registry.upkeep.sweep import Collected, collect, trash_of, would_collect
from tunewright.registry.versions.layout import BLOBS, digest_in
from tunewright.registry.versions.publish import LEAST_GRACE
from tunewright.registry.versions.record import Version, delete_version, require_registry

_UNITS = {"d": 86400.0, "h": 3600.0}
_SHOWN = 20
"""Blobs that are named one by one."""


def _add_gc(made: argparse.ArgumentParser) -> None:
    made.add_argument("--delete", action="store_true", help="do it; without it, tell what would be done")
    said = "leave alone what is younger, as in 36h; at least 1d (7d)"
    made.add_argument("--grace", default="7d", metavar="TIME", help=said)
    said = "of every model delete all versions but the last K that are not yanked"
    made.add_argument("--keep-last", type=int, metavar="K", help=said)
    said = "and those beside the last K that an alias has held within this time, as in 90d (30d)"
    made.add_argument("--held-within", metavar="TIME", help=said)
    add_json(made)


def _gc(store: Store, options: argparse.Namespace) -> int:
    grace = _seconds("--grace", options.grace)
    if grace < LEAST_GRACE:
        raise BadReference(f"--grace {options.grace} is too short: a publication may take so long; expected 1d or more")
    spared = _spared(store, options)
    require_registry(store)
    if options.delete:
        for version in spared:
            delete_version(store, version, reason=f"not among the last {options.keep_last}")
        done = collect(store, grace=grace)
    else:
        done = would_collect(store, grace=grace, now=time.time())
    if options.json:
        print_json(_facts(spared, done) | {"deleted": options.delete})
        return 0
    _tell(spared, done, is_done=options.delete)
    return 0


def _spared(store: Store, options: argparse.Namespace) -> list[Version]:
    """The versions that are to be deleted."""
    if options.keep_last is None:
        if options.held_within is not None:
            raise BadReference("--held-within has no effect without --keep-last, which says how many versions stay")
        return []
    if options.keep_last < 1:
        raise BadReference(f"--keep-last {options.keep_last} would keep no version; expected 1 or more")
    held_within = _seconds("--held-within", options.held_within or "30d")
    counts = signed_yanks(store)
    keep = options.keep_last
    return out_of_use(store, keep_last=keep, held_within=held_within, now=time.time(), counts=counts)


def _seconds(flag: str, text: str) -> float:
    told = re.fullmatch(r"([0-9]{1,6})([dh])", text)
    if told is None:
        raise BadReference(f"{flag} {text!r} is not a time; expected days or hours, as in 7d or 36h")
    return int(told[1]) * _UNITS[told[2]]


def _facts(spared: list[Version], done: Collected) -> dict[str, object]:
    return {
        "versions": [str(version) for version in spared],
        "blobs": [{"digest": digest_in(blob.key), "size": blob.size} for blob in done.blobs],
        "leftovers": [{"key": one.key, "size": one.size} for one in done.leftovers],
        "restored": done.restored,
        "bytes": done.size,
        "trash": done.trash,
    }


def _tell(spared: list[Version], done: Collected, *, is_done: bool) -> None:
    for version in spared:
        say(f"{version} {'is' if is_done else 'would be'} deleted")
    if rows := [(digest_in(blob.key), size_text(blob.size)) for blob in done.blobs[:_SHOWN]]:
        print_table(("BLOB", "SIZE"), rows)
        if len(done.blobs) > _SHOWN:
            say(f"... and {len(done.blobs) - _SHOWN} more")
    for digest in done.restored:
        say(f"{digest} is put back: a version needs it")
    counts = f"{counted(len(done.blobs), 'blob')} and {counted(len(done.leftovers), 'unfinished write')}"
    said = f"{counts}, {size_text(done.size)}: {'removed' if is_done else 'would be removed; --delete does it'}"
    kept = f"; {size_text(done.trash)} stay in the trash for runs that have begun" if done.trash else ""
    say(said + kept)


def _stats(store: Store, options: argparse.Namespace) -> int:
    facts = _counted(store)
    if options.json:
        print_json(facts)
    else:
        print_pairs([(name, size_text(n) if name in _BYTES else str(n)) for name, n in facts.items()])
    return 0


_BYTES = ("referenced", "shared", "unreferenced", "unfinished", "trash")


def _counted(store: Store) -> Mapping[str, int]:
    """How many models and versions there are, and how many bytes of what."""
    require_registry(store)
    seen = Mark(store, refuse_to_count).look(float("inf"))
    holders = Counter(digest for digests in seen.needed.values() for digest in digests)
    sizes = {digest: stat.size for stat in store.list(BLOBS) if (digest := digest_in(stat.key))}
    live, trash = seen.live, trash_of(store)
    return {
        "models": len({version.name for version in seen.needed}),
        "versions": len(seen.needed),
        "deleted": seen.deleted,
        "referenced": sum(size for digest, size in sizes.items() if digest in live),
        "shared": sum(size for digest, size in sizes.items() if holders[digest] > 1),
        "unreferenced": sum(size for digest, size in sizes.items() if digest not in live),
        "unfinished": sum(one.size for one in store.leftovers(BLOBS)),
        "trash": trash,
    }


def _add_cache(made: argparse.ArgumentParser) -> None:
    said = "remove what was used longest ago until at most this is left, as in 10GB; never a version in use"
    made.add_argument("--prune", metavar="SIZE", help=said)
    add_json(made)


def _cache(_: Store, options: argparse.Namespace) -> int:
    cache = RegistrySettings().cache.absolute()
    most = None if options.prune is None else _bytes(options.prune)
    found = look(cache) if most is None else prune(cache, most)
    is_over = most is not None and found.size > most
    said = f"{counted(found.versions, 'version')}, {found.in_use} of them in use, {size_text(found.size)}, in {cache}"
    if most is not None:
        said = f"{counted(found.removed, 'version')} removed; {said}{': what is in use stays' if is_over else ''}"
    answer(said, asdict(found) | {"folder": str(cache)}, as_json=options.json)
    return 1 if is_over else 0


def _bytes(text: str) -> int:
    told = re.fullmatch(r"([0-9]{1,9})(MB|GB|TB)", text)
    if told is None:
        raise BadReference(f"--prune {text!r} is not a size; expected a number of MB, GB or TB, as in 10GB")
    return int(told[1]) * {"MB": 10**6, "GB": 10**9, "TB": 10**12}[told[2]]


CACHE = Command(_add_cache, _cache)
GC = Command(_add_gc, _gc)
STATS = Command(add_json, _stats)
