"""`tunewright gates`: what an alias asks of a version before it is moved there."""

import argparse
from dataclasses import asdict
from pathlib import Path

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import print_json, print_table, say, short
from tunewright.registry.completion import names_a
from tunewright.registry.errors import BadReference
from tunewright.registry.gates.policy import Policy, PolicyEntry, policy_in, read_policy, set_policy
from tunewright.registry.stores.store import Store
from tunewright.registry.variables import flat
from tunewright.registry.versions.record import no_model, version_numbers
from tunewright.registry.versions.reference import name_and_alias


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made, "NAME@ALIAS")
    change = made.add_mutually_exclusive_group()
    said = "ask what stands in this file of YAML or JSON, and nothing else"
    names_a(change.add_argument("--set", dest="file", type=Path, metavar="FILE", help=said), "file")
    change.add_argument("--remove", action="store_true", help="ask nothing from now on")
    made.add_argument("--why", default="", metavar="TEXT", help="kept with what is asked")
    add_json(made)


def _gates(store: Store, options: argparse.Namespace) -> int:
    name, alias = name_and_alias(options.reference)
    if options.file or options.remove:
        policy = policy_in(options.file) if options.file else Policy()
        entry: PolicyEntry | None = set_policy(store, name, alias, policy, reason=options.why)
    elif options.why:
        raise BadReference("--why is kept with what --set or --remove changes; say one of the two")
    else:
        entry = read_policy(store, name, alias)
        if entry is None and not version_numbers(store, name):
            raise no_model(store, name)
    if options.json:
        print_json(asdict(entry) | {"policy": entry.policy.asks} if entry else None)
    elif entry is None or not entry.policy.asks:
        say(
            f"{name}@{alias} asks nothing of a version: `tunewright gates {name}@{alias} --set gates.yaml` changes that"
        )
    else:
        say(f"{name}@{alias} asks this since {entry.set}, by {entry.who}{entry.reason and f': {entry.reason}'}")
        print_table(("GATE", "ASKS"), [(gate, short(asked)) for gate, asked in flat(entry.policy.asks)])
    return 0


GATES = Command(_add, _gates)
