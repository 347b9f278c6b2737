"""`tunewright promote`, `rollback`, `unalias` and `history`: what an alias points at."""

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial

from tunewright.registry.commands.command import Command, add_json, add_reference
from tunewright.registry.commands.output import answer, print_json, print_table, say, warn
from tunewright.registry.errors import BadReference, NotFound
from tunewright.registry.gates.judge import judge
from tunewright.registry.gates.policy import read_policy
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.trust.keys import PublicKey
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.trust.yanks import signed_yanks
from tunewright.registry.versions.alias import (
    Gate,
    Move,
    Verdict,
    held,
    history,
    last_move,
    move,
    refuse_yanked,
    remove,
    rollback,
)
from tunewright.registry.versions.latest import Counts, Passed, yank_of, yanked
from tunewright.registry.versions.layout import check_alias
from tunewright.registry.versions.record import Version
from tunewright.registry.versions.reference import name_and_alias
from tunewright.registry.webhook import check_webhook, tell_moved


def _add_promote(made: argparse.ArgumentParser) -> None:
    add_reference(made)
    made.add_argument("alias", nargs="?", metavar="ALIAS")
    made.add_argument("--to", metavar="ALIAS", help="the same, said otherwise")
    said = "move it to a lower number too and, with --why, where gates are missed"
    made.add_argument("--force", action="store_true", help=said)
    _add_why(made)
    made.add_argument("--dry-run", action="store_true", help="only tell what the gates say")
    add_json(made)


def _promote(store: Store, options: argparse.Namespace) -> int:
    if (options.alias is None) == (options.to is None):
        raise BadReference(f"say one alias to move to {options.reference}, as in {options.reference} production")
    alias, settings = check_alias(options.alias or options.to), RegistrySettings()
    trust = open_trust(settings)
    if not options.dry_run:
        check_webhook(settings)
    version = trust.resolve(store, options.reference)
    trust.require_signer(version.name, alias)
    counts = trust.counts(store)
    _require_why(store, version, alias, options, counts)
    entry = read_policy(store, version.name, alias)
    verdict = judge(store, entry, version, cache=settings.cache) if entry else None
    missed, before = verdict.missed if verdict else [], _last(store, version.name, alias)
    if verdict and not options.json:
        _tell(verdict)
    if options.dry_run or (missed and not options.force):
        return _stay(version, alias, verdict, before, options)
    if missed and not options.why:
        raise BadReference(f"{version} misses {_named(missed)}: --force needs --why TEXT here, which is kept")
    reason, force = options.why, options.force
    made = move(store, version.name, alias, version.number, reason=reason, force=force, verdict=verdict, counts=counts)
    trust.sign(store, made)
    said = f"{made.name}@{made.alias} -> {made.number} (before: {made.previous or 'nothing'})"
    if before is None or made.id != before.id:
        warn(tell_moved(settings, made))
    else:
        said = f"{made.name}@{made.alias} points at {made.number} already"
    answer(said, _facts(made), as_json=options.json)
    return 0


def _require_why(store: Store, version: Version, alias: str, options: argparse.Namespace, counts: Counts) -> None:
    """Conflict for a yanked version without --force, BadReference with it and without a reason."""
    if not options.force:
        refuse_yanked(store, version, alias, counts)
    elif not options.why and (gone := yank_of(store, version, counts=counts)):
        raise BadReference(f"{version} is {gone}: --force needs --why TEXT here, which is kept")


def _last(store: Store, name: str, alias: str) -> Move | None:
    """What made the alias point where it does; None where it points nowhere."""
    try:
        return last_move(store, name, alias)
    except NotFound:
        return None


def _stay(
    version: Version, alias: str, verdict: Verdict | None, before: Move | None, options: argparse.Namespace
) -> int:
    """Say that the alias is not moved, or would be; the exit code."""
    missed = verdict.missed if verdict else []
    if options.json:
        told = {"name": version.name, "alias": alias, "number": version.number, "moved": False}
        print_json(told | {"verdict": asdict(verdict) if verdict else None})
    elif not missed:
        is_there = before and before.number == version.number and before.digest in (None, version.digest)
        says = f"points at {version.number} already" if is_there else f"would be moved to {version.number}"
        say(f"{version.name}@{alias} {says}")
    if not missed:
        return 0
    advice = "" if options.dry_run else "; --force --why TEXT moves it all the same"
    say(f"error: {version} misses {_named(missed)}: {version.name}@{alias} is not moved{advice}", sys.stderr)
    return 4


def _tell(verdict: Verdict) -> None:
    print_table(("GATE", "", "FIGURES"), [(x.name, "passed" if x.passed else "MISSED", x.says) for x in verdict.gates])
    if verdict.reuse:
        say(verdict.reuse)


def _named(missed: Sequence[Gate]) -> str:
    return ", ".join(gate.name for gate in missed)


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
    settings = RegistrySettings()
    trust = open_trust(settings)
    trust.require_signer(name, alias)
    check_webhook(settings)
    before = _last(store, name, alias)
    made = rollback(store, name, alias, reason=options.why, holder=options.holder, to=options.to, believer=trust)
    trust.sign(store, made)
    said = f"{made.name}@{made.alias}: {made.previous or 'nothing'} -> {made.number}"
    warn(trust.warning_of(store, held(store, made)))
    if before is None or made.id != before.id:
        warn(tell_moved(settings, made))
    else:
        said = f"{made.name}@{made.alias} points at {made.number} already"
    answer(said, _facts(made), as_json=options.json)
    return 0


def _add_unalias(made: argparse.ArgumentParser) -> None:
    add_reference(made, "NAME@ALIAS")
    made.add_argument("--why", default="", metavar="TEXT", help="kept in the alias's history")
    add_json(made)


def _unalias(store: Store, options: argparse.Namespace) -> int:
    name, alias = name_and_alias(options.reference)
    before, settings = _last(store, name, alias), RegistrySettings()
    trust = open_trust(settings)
    trust.require_signer(name, alias)
    check_webhook(settings)
    made = remove(store, name, alias, reason=options.why)
    trust.sign(store, made)
    if before:
        warn(tell_moved(settings, made))
    said = f"{name}@{alias}: {made.number} -> nothing" if before else f"{name}@{alias} points nowhere already"
    answer(said, _facts(made), as_json=options.json)
    return 0


def _add_history(made: argparse.ArgumentParser) -> None:
    add_reference(made, "NAME@ALIAS")
    add_json(made)


def _history(store: Store, options: argparse.Namespace) -> int:
    moves = history(store, *name_and_alias(options.reference))
    out = yanked(store, moves[0].name, on_fault=warn, counts=signed_yanks(store))
    signed = _signed(store, moves)
    if options.json:
        told = {number: asdict(gone) for number, gone in out.items()}
        by = {entry: {"signed_by": key.id if key else None} for entry, key in signed.items()}
        print_json([_facts(made) | {"yanked": told.get(made.number)} | by.get(made.entry, {}) for made in moves])
        return 0
    strange = {entry for entry, key in signed.items() if key is None}
    rows = [
        (x.moved, _to(x, out), x.previous or "", _kind(x, strange), x.who or "-", _where(x), x.reason)
        for x in reversed(moves)
    ]
    print_table(("MOVED", "TO", "FROM", "KIND", "WHO", "WHERE", "WHY"), rows)
    for number in sorted(out.keys() & {made.number for made in moves}):
        say(f"{moves[0].name}:{number} is {out[number]}")
    return 0


def _signed(store: Store, moves: Sequence[Move]) -> dict[int, PublicKey | None]:
    """By which trusted key each entry is signed, None for none; nothing where no keys are named."""
    trust = open_trust(RegistrySettings())
    if trust.trusted is None:
        return {}
    keys = each(partial(trust.key_of, store), moves)
    return {made.entry: key for made, key in zip(moves, keys, strict=True)}


def _to(made: Move, out: Mapping[int, Passed]) -> str:
    return f"{made.number}{' (yanked)' if made.number in out else ''}" if made.points else "-"


def _facts(made: Move) -> dict[str, object]:
    """An entry as programs are told of it; what is in the record of the version, `show` tells."""
    facts = asdict(made)
    del facts["record"], facts["format"]
    return facts


def _where(made: Move) -> str:
    return "; ".join(filter(None, (f"job {made.run_id}" if made.run_id else None, made.where))) or "-"


def _kind(made: Move, strange: Collection[int]) -> str:
    missed = ", gates missed" if made.verdict and made.verdict.missed else ""
    return f"{made.kind}{missed}{', not signed' if made.entry in strange else ''}"


def _add_why(made: argparse.ArgumentParser) -> None:
    made.add_argument("--why", "--reason", default="", metavar="TEXT", help="kept in the alias's history")


PROMOTE = Command(_add_promote, _promote)
ROLLBACK = Command(_add_rollback, _rollback)
UNALIAS = Command(_add_unalias, _unalias)
HISTORY = Command(_add_history, _history)
