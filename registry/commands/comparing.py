"""`tunewright diff`."""

import argparse
from dataclasses import asdict

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import print_json, print_table, say, short
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store
from tunewright.registry.upkeep.difference import differences
from tunewright.registry.versions.reference import resolve


def _add(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    made.add_argument("other", metavar="REF", help="the version that the first one is compared with")
    add_json(made)


def _diff(store: Store, options: argparse.Namespace) -> int:
    before, after = (resolve(store, reference) for reference in (options.reference, options.other))
    changes, remarks = differences(store, before, after, cache=RegistrySettings().cache)
    if options.json:
        versions = {"before": str(before), "after": str(after)}
        print_json(versions | {"changes": [asdict(one) for one in changes], "remarks": remarks})
        return 0
    if changes:
        cells = [(one.about, one.name, short(one.before), short(one.after)) for one in changes]
        print_table(("ABOUT", "WHAT", str(before), str(after)), cells)
    else:
        say(f"{before} and {after} differ in nothing that their files tell")
    for remark in remarks:
        say(f"note: {remark}")
    return 0


DIFF = Command(_add, _diff)
