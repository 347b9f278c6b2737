"""Hold a version against what an alias asks, and against the version that the alias points at."""

from collections.abc import Sequence
from pathlib import Path

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.gates.bounds import bounds, gate, missing
from tunewright.registry.gates.comparison import compare
from tunewright.registry.gates.evidence import Evidence, evidence, mapping
from tunewright.registry.gates.outcomes import OUTCOMES
from tunewright.registry.gates.policy import NotWorse, PolicyEntry
from tunewright.registry.stores.store import Store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.trust.keys import parse_line
from tunewright.registry.trust.signature import of_version, signer_of
from tunewright.registry.versions.alias import MOST_SAID, Gate, Verdict, held, last_move
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.record import Version, read_version, version_numbers

_COUNTED = 100
"""Versions of which is looked up on which rows they were measured: the latest."""


def judge(store: Store, entry: PolicyEntry, version: Version, *, cache: Path) -> Verdict:
    """What the gates say of a version to which the alias may be moved. Raises CorruptObject."""
    policy, holder = entry.policy, _holder(store, entry)
    of = evidence(store, version, cache=cache)
    gates = list(bounds(policy, of))
    if policy.not_worse:
        is_other = holder is not None and holder.number != version.number
        before = evidence(store, holder, cache=cache) if holder and is_other else None
        alone = f"no other version holds {entry.name}@{entry.alias}"
        gates.append(_not_worse(policy.not_worse, before, of) if before else gate("not_worse", passed=True, says=alone))
    gates += [_licensed(policy.licence, of)] if policy.licence else []
    gates += [_signed(store, version, who, line) for who, line in policy.signed_by.items()]
    digest, rows = of.test_rows
    decided = _measured_on(store, version, digest) if digest else 0
    return Verdict(entry.entry, holder.number if holder else None, tuple(gates), digest, rows, decided)


def _licensed(allowed: Sequence[str], of: Evidence) -> Gate:
    told = mapping(of.lineage.get("base_model")).get("licence")
    if not isinstance(told, str):
        return missing("licence", of, "does not tell the licence of its base model")
    says = f"the base model is under {told[:64]}, allowed are {', '.join(allowed)}"
    return gate("licence", passed=told.lower() in map(str.lower, allowed), says=says)


def _signed(store: Store, version: Version, who: str, line: str) -> Gate:
    key = parse_line(line)
    found, faults = signer_of(store, of_version(version), [key] if key else [])
    says = f"by {key}" if found else (faults[0][:MOST_SAID] if faults else f"{key} has not signed {version}")
    return gate(f"signed_by.{who}", passed=found is not None, says=says)


def _holder(store: Store, entry: PolicyEntry) -> Version | None:
    try:
        return held(store, last_move(store, entry.name, entry.alias))
    except NotFound:
        return None


def _not_worse(asked: NotWorse, before: Evidence, of: Evidence) -> Gate:
    for one in (of, before):
        if one.outcomes is None:
            return missing("not_worse", one, f"carries no {OUTCOMES}", asked.alpha)
    assert before.outcomes is not None
    assert of.outcomes is not None
    found = compare(before.outcomes, of.outcomes, alpha=asked.alpha)
    count = len(found.rows.rows) if found else 0
    if found is None or count < asked.rows:
        what = f"was measured on {count:,} rows of {before.version} by the same figure, {asked.rows:,} are needed"
        return missing("not_worse", of, what, asked.alpha)
    difference, says = found.difference, f"against {before.version}: {found.says}"
    passed, figures = difference.worse >= asked.alpha, (difference.worse, asked.alpha)
    if asked.margin is not None:
        says += f"; at worst {difference.low:+.4f}, may be {-asked.margin:g}"
        if passed and difference.low < -asked.margin:
            passed, figures = False, (difference.low, -asked.margin)
    return gate("not_worse", passed=passed, says=says, found=figures[0], asked=figures[1])


def _measured_on(store: Store, version: Version, digest: str) -> int:
    """How many versions of the model, this one too, were measured on the same test rows."""

    def is_so(number: int) -> bool:
        try:
            told = read_manifest(store, read_version(store, version.name, number)).config.get("test_rows")
        except (CorruptObject, NotFound):  # of another version, which is not the one that is judged
            return False
        return isinstance(told, dict) and told.get("digest") == digest

    return sum(each(is_so, version_numbers(store, version.name)[-_COUNTED:]))
