"""`tunewright list`."""

import argparse
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass

from tunewright.registry.commands.command import Command, add_json
from tunewright.registry.commands.output import metric_of, print_json, print_table, say, tell
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Reader, Stat, Store
from tunewright.registry.transfer.compacted import Compacted
from tunewright.registry.transfer.parallel import each
from tunewright.registry.trust.yanks import signed_yanks
from tunewright.registry.upkeep.notes import notes_in
from tunewright.registry.versions.alias import aliases, last_entries
from tunewright.registry.versions.latest import all_yanked, yanked
from tunewright.registry.versions.layout import aliases_prefix, notes_prefix, versions_prefix
from tunewright.registry.versions.record import (
    Version,
    below,
    by_model,
    deleted_of,
    no_model,
    numbers_given,
    read_or_tell,
    read_versions,
)
from tunewright.registry.versions.reference import parse


def _add(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", nargs="?", help="a model; without it all models are listed")
    add_json(made)


def _list(store: Store, options: argparse.Namespace) -> int:
    return _list_versions(store, options) if options.name else _list_models(store, options)


def _list_models(store: Store, options: argparse.Namespace) -> int:
    faults: list[str] = []
    models = sorted(by_model(store, on_fault=faults.append).items())
    gone = {name: deleted_of(below(listed, versions_prefix(name))) for name, listed in models}
    out = all_yanked(store, on_fault=faults.append, deleted=gone, counts=signed_yanks(store))
    reader = Compacted(store, "models", (stat for _, listed in models for stat in listed))
    found = each(lambda one: _look(reader, *one, out.get(one[0], {})), models)
    reader.keep()
    faults += [fault for one in found for fault in one.faults]
    shown = [one for one in found if one.number]
    if options.json:
        print_json([one.facts for one in shown])
    elif shown:
        print_table(("MODEL", "LATEST", "METRIC", "ALIASES"), [one.cells for one in shown])
    else:
        say(f"there are no models in {store.uri} yet")
    return tell(faults)


@dataclass(frozen=True)
class _Model:
    """What is told of a model, and what is wrong with it."""

    name: str
    number: int  # of the latest version; 0 where there is none
    latest: Version | None  # None where it cannot be read
    aliases: Mapping[str, int]
    faults: Sequence[str]

    @property
    def facts(self) -> dict[str, object]:
        """As JSON."""
        summary = asdict(self.latest.summary) if self.latest and self.latest.summary else None
        return {"name": self.name, "latest": self.number, "aliases": self.aliases, "summary": summary}

    @property
    def cells(self) -> tuple[object, ...]:
        """As a row."""
        pointing = ", ".join(f"{alias} -> {number}" for alias, number in self.aliases.items())
        return (self.name, self.number, metric_of(self.latest), pointing)


def _look(reader: Reader, name: str, listed: list[Stat], out: Container[int]) -> _Model:
    """What a model's objects tell of it; those of `out` are yanked."""
    faults: list[str] = []
    there, deleted = numbers_given(reader, name, below(listed, versions_prefix(name)), on_fault=faults.append)
    known = [number for number in there if number not in deleted]
    number = max((one for one in known if one not in out), default=max(known, default=0))
    entries = last_entries(reader, name, below(listed, aliases_prefix(name)), on_fault=faults.append)
    pointing = {entry.alias: entry.number for entry in entries if entry.points}
    latest = read_or_tell(reader, name, number, faults.append) if number else None
    return _Model(name, number, latest, pointing, faults)


def _list_versions(store: Store, options: argparse.Namespace) -> int:
    faults: list[str] = []
    name = parse(options.name).name
    listed, noted = list(store.list(versions_prefix(name))), list(store.list(notes_prefix(name)))
    reader = Compacted(store, f"versions/{name}", [*listed, *noted])
    there, deleted = numbers_given(reader, name, listed, on_fault=faults.append)
    known = [number for number in there if number not in deleted]
    if not known:
        raise no_model(store, name)
    pointing = aliases(store, name, on_fault=faults.append)
    rows = read_versions(reader, name, known, faults.append)
    said = notes_in(reader, name, noted, faults.append)
    reader.keep()
    tags = {number: list(said[number].tags) if number in said else [] for number in known}
    out = yanked(store, name, on_fault=faults.append, deleted=deleted, counts=signed_yanks(store))
    names = {number: sorted(a for a, to in pointing.items() if to == number) for number in known}
    if options.json:
        why = {number: out[number].reason if number in out else None for number in known}
        rest = {n: {"aliases": names[n], "tags": tags[n], "yanked": why[n]} for n in known}
        print_json([asdict(version) | rest[n] for n, version in rows.items() if version])
    else:
        told = {number: [f"yanked: {out[number].reason}"] if number in out else [] for number in known}
        called = {n: ", ".join([*names[n], *(f"#{tag}" for tag in tags[n]), *told[n]]) for n in known}
        cells = [_row(f"{name}:{number}", rows[number], called[number]) for number in reversed(known)]
        print_table(("VERSION", "CREATED", "SIZE", "METRIC", "ALIASES", "RUN"), cells)
    return tell(faults)


def _row(spoken: str, version: Version | None, pointing: str) -> tuple[str, ...]:
    if version is None:
        return (spoken, "damaged", "-", "-", pointing, "-")
    return (spoken, version.created, size_text(version.size), metric_of(version), pointing, version.run_id)


LIST = Command(_add, _list)
