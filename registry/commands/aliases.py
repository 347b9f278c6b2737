"""`tunewright promote`, `rollback`, `unalias` and `history`: what an alias points at."""

import argparse
from dataclasses import asdict

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer, print_json, print_table
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.alias import history, move, remove, rollback
from tunewright.registry.versions.reference import name_and_alias, resolve


def _add_promote(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    made.add_argument("alias", metavar="ALIAS")
    made.add_argument("--force", action="store_true", help="allow going back to a lower number")
    _add_why(made)
    add_json(made)


def _promote(store: Store, options: argparse.Namespace) -> int:
    version = resolve(store, options.reference)
    made = move(store, version.name, options.alias, version.number, reason=options.why, force=options.force)
    said = f"{made.name}@{made.alias} -> {made.number} (before: {made.previous or 'nothing'})"
    answer(said, asdict(made), as_json=options.json)
    return 0


def _add_rollback(made: argparse.ArgumentParser) -> None:
    add_reference(made, "NAME@ALIAS")
    _add_why(made)
    safe = made.add_mutually_exclusive_group()
    safe.add_argument(
        "--from",
        dest="holder",
        type=int,
        metavar="N",
        help="only where it points at version N: said twice, it goes back once",
    )
    safe.add_argument("--to", type=int, metavar="N", help="to version N, where it has been: said twice, likewise")
    add_json(made)


def _rollback(store: Store, options: argparse.Namespace) -> int:
    name, alias = name_and_alias(options.reference)
    made = rollback(store, name, alias, reason=options.why, holder=options.holder, to=options.to)
    said = f"{made.name}@{made.alias}: {made.previous or 'nothing'} -> {made.number}"
    answer(said, asdict(made), as_json=options.json)
    return 0


def _add_unalias(made: argparse.ArgumentParser) -> None:
    add_reference(made, "NAME@ALIAS")
    made.add_argument("--why", default="", metavar="TEXT", help="kept in the alias's history")
    add_json(made)


def _unalias(store: Store, options: argparse.Namespace) -> int:
    made = remove(store, *name_and_alias(options.reference), reason=options.why)
    answer(f"{made.name}@{made.alias}: {made.number} -> nothing", asdict(made), as_json=options.json)
    return 0


def _add_history(made: argparse.ArgumentParser) -> None:
    add_reference(made, "NAME@ALIAS")
    add_json(made)


def _history(store: Store, options: argparse.Namespace) -> int:
    moves = history(store, *name_and_alias(options.reference))
    if options.json:
        print_json([asdict(m) for m in moves])
    else:
        rows = [
            (m.moved, m.number if m.points else "-", m.previous or "", m.kind, m.who or "-", m.reason)
            for m in reversed(moves)
        ]
        print_table(("MOVED", "TO", "FROM", "KIND", "WHO", "WHY"), rows)
    return 0


def _add_why(made: argparse.ArgumentParser) -> None:
    made.add_argument("--why", "--reason", default="", metavar="TEXT", help="kept in the alias's history")


PROMOTE = Command(_add_promote, _promote)
ROLLBACK = Command(_add_rollback, _rollback)
UNALIAS = Command(_add_unalias, _unalias)
HISTORY = Command(_add_history, _history)
