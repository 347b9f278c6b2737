"""`tunewright canary`."""

import argparse

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer
from tunewright.registry.errors import BadReference, Conflict
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.versions.alias import current
from tunewright.registry.versions.canary import begin, end, running
from tunewright.registry.versions.reference import name_and_alias


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made, "NAME@ALIAS")
    made.add_argument("version", nargs="?", metavar="REF", help="what to try; without it, tell what is tried")
    made.add_argument("percent", nargs="?", type=float, metavar="PERCENT", help="of the requests, as in 10")
    made.add_argument("--end", action="store_true", help="the alias's own version answers all again")
    made.add_argument("--reason", default="", help="kept with the trial")
    add_json(made)


def _canary(store: Store, options: argparse.Namespace) -> int:
    name, alias = name_and_alias(options.reference)
    if options.end and options.version:
        raise BadReference("--end is given with a version; say one of the two")
    trust = open_trust(RegistrySettings())
    if options.end or options.version:
        trust.require_signer(name, alias)
    if options.end:
        if (ended := end(store, name, alias, reason=options.reason)) is None:
            raise Conflict(f"nothing is tried beside {name}@{alias}: there is nothing to end")
        trust.sign(store, ended)
    elif options.version:
        if options.percent is None:
            raise BadReference(f"no percentage is given; say {options.version} 10 for a tenth of the requests")
        version = trust.resolve(store, options.version)
        if version.name != name:
            raise BadReference(f"{version} is no version of {name}, which {options.reference} is about")
        share, counts = options.percent, trust.counts(store)
        trust.sign(store, begin(store, name, alias, version.number, share, reason=options.reason, counts=counts))
    trial = running(store, name, alias)
    weights = trial.weights if trial else {current(store, name, alias): 100.0}
    said = f"{name}@{alias} -> " + ", ".join(f"{number}: {percent:g} %" for number, percent in weights.items())
    answer(said, {"name": name, "alias": alias, "weights": weights}, as_json=options.json)
    return 0


CANARY = Command(_add, _canary)
