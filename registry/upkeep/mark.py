"""What a registry refers to: every blob that a version needs, looked at again and again while others are removed."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import Stat, Store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.versions.alias import last_entries
from tunewright.registry.versions.canary import last_trial
from tunewright.registry.versions.layout import (
    TRASH,
    aliases_prefix,
    canaries_prefix,
    deletion_key,
    digest_in,
    runs_prefix,
    versions_prefix,
)
from tunewright.registry.versions.manifest import LARGEST, Manifest, digest_of, parse
from tunewright.registry.versions.pull import digests_of, read_manifest
from tunewright.registry.versions.record import Version, below, by_model, numbers_given, read_version

Refuse = Callable[[str], NoReturn]


def refuse(fault: str) -> NoReturn:
    """CorruptObject for what is not understood, where something would be collected."""
    raise CorruptObject(f"nothing is collected from a registry that is not understood whole: {fault}")


def refuse_to_count(fault: str) -> NoReturn:
    """CorruptObject for what is not understood, where it would only be counted."""
    raise CorruptObject(f"a registry that is not understood whole cannot be counted: {fault}")


@dataclass(frozen=True)
class Seen:
    """What was there at one look."""

    needed: Mapping[Version, frozenset[str]]
    """Of each version that stays: the digests of its blobs, of the manifest too."""
    deleted: int
    """Versions whose blobs may go."""
    in_flight: bool
    """Whether a run has begun, not long ago, that may claim a version yet."""

    @property
    def live(self) -> set[str]:
        """The digests that something refers to."""
        return set().union(*self.needed.values())


class Mark:
    """Looks at what a registry refers to. Records never change, so each is read once, however often it is looked."""

    def __init__(self, store: Store, on_fault: Refuse = refuse) -> None:
        self._store, self._refuse = store, on_fault
        self._versions: dict[tuple[str, int], Version] = {}
        self._parts: dict[str, frozenset[str]] = {}

    def look(self, until: float) -> Seen:
        """What is there now; a version that was deleted before `until` (seconds since 1970) needs nothing any more.

        Raises CorruptObject for anything that is not understood: what it refers to is not known then.
        """
        needed: dict[Version, frozenset[str]] = {}
        deleted, in_flight = 0, False
        for name, listed in by_model(self._store, on_fault=self._refuse).items():
            staying, gone, going = self._of_model(name, listed, until)
            each(self._read_parts, staying)
            needed |= {version: self._parts[version.digest] for version in staying}
            deleted, in_flight = deleted + gone, in_flight or going
        return Seen(needed, deleted, in_flight)

    def _of_model(self, name: str, listed: list[Stat], until: float) -> tuple[list[Version], int, bool]:
        """The versions that stay, how many do not, and whether a run may claim one yet."""
        records = below(listed, versions_prefix(name))
        there, deleted = numbers_given(self._store, name, records, on_fault=self._refuse)
        when = {stat.key: stat.modified for stat in records}
        gone = {number for number in deleted if when[deletion_key(name, number)] < until}
        if gone:
            gone -= self._pointed_at(name, below(listed, aliases_prefix(name)), below(listed, canaries_prefix(name)))
        versions = [self._version(name, number) for number in there]
        done = {version.run_id for version in versions}
        runs = [stat for stat in below(listed, runs_prefix(name)) if stat.modified >= until]
        going = any(stat.key.rpartition("/")[2].removesuffix(".json") not in done for stat in runs)
        return [version for version in versions if version.number not in gone], len(gone), going

    def _pointed_at(self, name: str, aliases: Iterable[Stat], canaries: Iterable[Stat]) -> set[int]:
        last = last_entries(self._store, name, aliases, on_fault=self._refuse)
        found = {entry.number for entry in last if entry.points}
        for alias in {stat.key.split("/")[3] for stat in canaries}:
            trial = last_trial(self._store, name, alias)
            found |= {trial.number, trial.beside} if trial and trial.number else set()
        return found

    def _version(self, name: str, number: int) -> Version:
        if (name, number) not in self._versions:
            try:
                self._versions[name, number] = read_version(self._store, name, number)
            except (CorruptObject, NotFound) as error:
                self._refuse(str(error))
        return self._versions[name, number]

    def _read_parts(self, version: Version) -> None:
        if version.digest in self._parts:
            return
        try:
            self._parts[version.digest] = digests_of(version, self._manifest(version))
        except (CorruptObject, NotFound) as error:
            self._refuse(f"{error} (`tunewright verify {version}` tells more)")

    def _manifest(self, version: Version) -> Manifest:
        """The manifest, out of the trash too: a collection may have removed it which did not come to its end."""
        try:
            return read_manifest(self._store, version)
        except NotFound:
            for stat in self._store.list(TRASH):
                if digest_in(stat.key) == version.digest:
                    with suppress(NotFound):  # who has removed it is faster
                        data = self._store.read(stat.key, limit=LARGEST)
                        if digest_of(data) == version.digest:
                            return parse(data)
            raise
