"""`tunewright verify`, `repair` and `delete`: what is whole, what is mended, what is taken away."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer, counted, print_json, say, tell
from tunewright.registry.completion import names_a
from tunewright.registry.errors import Conflict
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.disk_space import size_text
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.upkeep.repair import open_source, repair
from tunewright.registry.upkeep.verify import Verified, sharers, verify, verify_model
from tunewright.registry.versions.alias import aliases_of
from tunewright.registry.versions.layout import check_name
from tunewright.registry.versions.record import delete_version, model_names, no_model, require_registry, version_numbers
from tunewright.registry.versions.reference import resolve


def _add_verify(made: argparse.ArgumentParser) -> None:
    said = "a model is verified whole, and all of them without it"
    made.add_argument("reference", nargs="?", metavar="REF", help=said)
    add_json(made)


def _verify(store: Store, options: argparse.Namespace) -> int:
    require_registry(store)
    faults: list[str] = []
    trust = open_trust(RegistrySettings())
    if options.reference is None or not set("@:") & set(options.reference):
        names = [check_name(options.reference)] if options.reference else model_names(store, on_fault=faults.append)
        if options.reference and not version_numbers(store, options.reference):
            raise no_model(store, options.reference)
        known: dict[str, str | None] = {}
        found = [one for name in names for one in verify_model(store, name, known=known, on_fault=faults.append)]
        faults += [fault for name in names for fault in trust.audit(store, name)]
    else:
        found = [verify(store, options.reference)]
        faults += trust.faults(store, options.reference)
    damaged = {digest for one in found for digest in one.damaged}
    held = sharers(store, damaged) if damaged else {}
    shared = {digest: versions for digest, versions in sorted(held.items()) if len(versions) > 1}
    if options.json:
        print_json({"versions": [asdict(one) | {"version": str(one.version)} for one in found], "shared": shared})
    else:
        _tell(found, shared)
    return max(tell(faults), 1 if damaged else 0)


def _tell(found: Sequence[Verified], shared: Mapping[str, Sequence[str]]) -> None:
    for one in found:
        for problem in one.problems:
            say(problem)
        verdict = counted(len(one.problems), "problem") if one.problems else "all digests match"
        say(f"{one.version}: {counted(one.files, 'file')}, {size_text(one.size)}: {verdict}")
    for digest, versions in shared.items():
        say(f"{digest} is part of {', '.join(versions)}")


def _add_repair(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    place = "a folder with the files of the version, or a registry (s3://bucket/prefix or its folder)"
    source = made.add_argument("--from", dest="source", required=True, metavar="DIR|REGISTRY", help=place)
    names_a(source, "directory")
    add_json(made)


def _repair(store: Store, options: argparse.Namespace) -> int:
    done = repair(store, resolve(store, options.reference), open_source(options.source))
    if options.json:
        print_json({"version": str(done.version), "mended": done.mended, "left": done.left})
        return 1 if done.left else 0
    for sentence in done.left:
        say(sentence)
    if done.mended:
        say(f"{done.version}: put back {', '.join(done.mended)}")
    elif not done.left:
        say(f"{done.version}: all digests match, there is nothing to mend")
    return 1 if done.left else 0


def _add_delete(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    made.add_argument("--why", default="", metavar="TEXT", help="kept with the version's number")
    add_json(made)


def _delete(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    if pointing := aliases_of(store, version):
        raise Conflict(
            f"{version.name}@{pointing[0]} points at version {version.number}: promote another version to "
            f"{pointing[0]}, or `tunewright unalias {version.name}@{pointing[0]}`, before this one is deleted"
        )
    made = delete_version(store, version, reason=options.why)
    stay = "its number is not given again, and its files stay until `tunewright gc --delete` a week later"
    said = f"{version} is deleted by {made.who} ({made.deleted}); {stay}"
    answer(said, asdict(made), as_json=options.json)
    return 0


VERIFY = Command(_add_verify, _verify)
REPAIR = Command(_add_repair, _repair)
DELETE = Command(_add_delete, _delete)
