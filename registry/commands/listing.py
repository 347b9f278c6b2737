"""`tunewright list`."""

import argparse
from dataclasses import asdict

from tunewright.registry.commands.command import Command, add_json
from tunewright.registry.commands.output import metric_of, print_json, print_table, say, tell
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store
from tunewright.registry.upkeep.notes import notes
from tunewright.registry.versions.alias import aliases
from tunewright.registry.versions.latest import yanked
from tunewright.registry.versions.record import Version, model_names, no_model, read_or_tell, version_numbers
from tunewright.registry.versions.reference import parse


def _add(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", nargs="?", help="a model; without it all models are listed")
    add_json(made)


def _list(store: Store, options: argparse.Namespace) -> int:
    return _list_versions(store, options) if options.name else _list_models(store, options)


def _list_models(store: Store, options: argparse.Namespace) -> int:
    faults: list[str] = []
    rows, cells = [], []
    for name in model_names(store, on_fault=faults.append):
        known = version_numbers(store, name, on_fault=faults.append)
        pointing = aliases(store, name, on_fault=faults.append)
        if known:
            out = yanked(store, name, on_fault=faults.append)
            number = max((one for one in known if one not in out), default=known[-1])
            latest = read_or_tell(store, name, number, faults.append)
            summary = asdict(latest.summary) if latest and latest.summary else None
            rows.append({"name": name, "latest": number, "aliases": pointing, "summary": summary})
            cells.append((name, number, metric_of(latest), ", ".join(f"{a} -> {n}" for a, n in pointing.items())))
    if options.json:
        print_json(rows)
    elif rows:
        print_table(("MODEL", "LATEST", "METRIC", "ALIASES"), cells)
    else:
        say(f"there are no models in {store.uri} yet")
    return tell(faults)


def _list_versions(store: Store, options: argparse.Namespace) -> int:
    faults: list[str] = []
    name = parse(options.name).name
    known = version_numbers(store, name, on_fault=faults.append)
    if not known:
        raise no_model(store, name)
    pointing = aliases(store, name, on_fault=faults.append)
    rows = {number: read_or_tell(store, name, number, faults.append) for number in known}
    said = notes(store, name, on_fault=faults.append)
    tags = {number: list(said[number].tags) if number in said else [] for number in known}
    out = yanked(store, name, on_fault=faults.append)
    why = {number: out[number].reason if number in out else None for number in known}
    names = {number: sorted(a for a, to in pointing.items() if to == number) for number in known}
    if options.json:
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
