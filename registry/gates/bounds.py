"""Gates that one version passes or misses by itself. What it does not tell is missed."""

from collections import defaultdict
from collections.abc import Iterator
from statistics import fmean

from tunewright.registry.gates.evidence import METRICS, MODEL, Evidence, mapping, number
from tunewright.registry.gates.outcomes import OUTCOMES, Outcomes
from tunewright.registry.gates.policy import Policy
from tunewright.registry.versions.alias import MOST_SAID, Gate

LABEL = "label"
"""The slices by what is true."""
_ROUNDING = 1e-9
"""0.46 - 0.45 is not 0.01 in binary: figures that differ by so little are equal."""
_LEAST_ROWS = 10
"""Rows of a slice; of fewer nothing is asked."""


def gate(name: str, *, passed: bool, says: str, found: float | None = None, asked: float | None = None) -> Gate:
    """A gate whose figures are as a log gives them back."""
    numbers = (None if one is None else float(one) for one in (found, asked))
    return Gate(name, passed, says if len(says) <= MOST_SAID else says[: MOST_SAID - 3] + "...", *numbers)


def missing(name: str, of: Evidence, what: str, asked: float | None = None) -> Gate:
    """A gate that is missed since the version does not tell what is asked."""
    return gate(name, passed=False, says=f"{of.version} {what}", asked=asked)


def bounds(policy: Policy, of: Evidence) -> Iterator[Gate]:
    """All that a policy asks of a version alone."""
    for name, floor in policy.min.items():
        yield _metric(f"min.{name}", name, floor, of, is_floor=True)
    for name, ceiling in policy.max.items():
        yield _metric(f"max.{name}", name, ceiling, of, is_floor=False)
    for column, floor in policy.slices.items():
        yield _slices(column, floor, of)
    for variant, allowed in policy.max_drop.items():
        yield _drop(variant, allowed, of)
    for kind, allowed in policy.max_flip.items():
        yield _flip(kind, allowed, of)
    yield from _budgets(policy, of)
    if policy.beat_baseline:
        yield _baseline(of)
    if policy.max_overlap is not None:
        yield _overlap(policy.max_overlap, of)


def _budgets(policy: Policy, of: Evidence) -> Iterator[Gate]:
    if policy.max_mib is not None:
        size = number(mapping(mapping(of.model.get("variants")).get(of.served or "")).get("bytes"))
        mib = None if size is None else size / 2**20
        yield _budget("max_mib", mib, policy.max_mib, f"{of.served} has {{}} MiB", of, MODEL)
    if policy.max_ms_per_text is not None:
        time = number(of.measured(of.served).get("ms_per_text"))
        yield _budget("max_ms_per_text", time, policy.max_ms_per_text, f"{of.served} takes {{}} ms a text", of, METRICS)
    if policy.parity_tolerance is not None:
        largest = number(mapping(mapping(of.metrics.get("parity")).get("fp32")).get("largest"))
        said = "fp32 differs from torch by {}"
        yield _budget("parity_tolerance", largest, policy.parity_tolerance, said, of, METRICS)


def _metric(name: str, metric: str, asked: float, of: Evidence, *, is_floor: bool) -> Gate:
    found = of.figure(of.served, metric)
    if found is None:
        there = ", ".join(mapping(of.measured(of.served).get("metrics"))) or "none"
        return missing(name, of, f"tells no {metric} in {METRICS}; its metrics are {there}", asked)
    passed = found >= asked - _ROUNDING if is_floor else found <= asked + _ROUNDING
    says = f"{found:.4f}, at {'least' if is_floor else 'most'} {asked:g}"
    return gate(name, passed=passed, says=says, found=found, asked=asked)


def _budget(name: str, found: float | None, asked: float, said: str, of: Evidence, file: str) -> Gate:
    if found is None:
        return missing(name, of, f"does not tell it in {file}", asked)
    says = f"{said.format(f'{found:.3g}')}, at most {asked:g}"
    return gate(name, passed=found <= asked + _ROUNDING, says=says, found=found, asked=asked)


def _drop(variant: str, allowed: float, of: Evidence) -> Gate:
    name, metric, is_error = f"max_drop.{variant}", of.headline or "", of.metrics.get("lower_is_better")
    if variant in mapping(of.metrics.get("left_out")):
        return gate(name, passed=True, says=f"{of.version} is without {variant}", asked=allowed)
    before, after = (of.figure(one, metric) for one in ("fp32", variant))
    if before is None or after is None:
        return missing(name, of, f"tells no headline metric of fp32 and of {variant} in {METRICS}", allowed)
    if not isinstance(is_error, bool):
        return missing(name, of, f"does not tell in {METRICS} whether less of {metric} is better", allowed)
    # An error such as perplexity has no scale of its own.
    lost = after / max(before, 1e-12) - 1 if is_error else before - after
    says = f"{metric} {after:.4f}, of fp32 {before:.4f}, may "
    says += f"rise by {allowed:.1%}" if is_error else f"lose {allowed:g}"
    return gate(name, passed=lost <= allowed + _ROUNDING, says=says, found=lost, asked=allowed)


def _flip(kind: str, allowed: float, of: Evidence) -> Gate:
    name, told = f"max_flip.{kind}", mapping(mapping(mapping(of.metrics.get("robustness")).get("kinds")).get(kind))
    rows, share = number(told.get("rows")), number(told.get("share"))
    if not rows or share is None:
        return missing(name, of, f"tells of no test row that {kind} changes", allowed)
    says = f"{share:.4f} of the answers to {rows:,.0f} rows change, at most {allowed:g}"
    return gate(name, passed=share <= allowed + _ROUNDING, says=says, found=share, asked=allowed)


def _baseline(of: Evidence) -> Gate:
    if "short_of_baseline" not in of.metrics or not mapping(of.metrics.get("baseline")):
        return missing("beat_baseline", of, f"tells of no answer without a model in {METRICS}")
    short = of.metrics["short_of_baseline"]
    says = "surely better than an answer without a model" if short is None else str(short)
    return gate("beat_baseline", passed=short is None, says=says)


def _overlap(allowed: int, of: Evidence) -> Gate:
    if of.outcomes is None:
        return missing("max_overlap", of, f"carries no {OUTCOMES}", allowed)
    found, rows = of.outcomes.head.in_training, of.outcomes.head.test_rows
    if found is None:
        return missing("max_overlap", of, "was imported, and nobody knows which rows it was taught", allowed)
    says = f"{found:,} of {rows:,} test rows stand among the training rows, at most {allowed:,}"
    return gate("max_overlap", passed=found <= allowed, says=says, found=found, asked=allowed)


def _slices(column: str, floor: float, of: Evidence) -> Gate:
    name = f"slices.{column}"
    if of.outcomes is None or of.outcomes.head.score is None:
        return missing(name, of, f"keeps no scores of single rows in {OUTCOMES}", floor)
    known = of.outcomes.head.columns
    if column != LABEL and column not in known:
        there = ", ".join([LABEL, *known])
        return missing(name, of, f"keeps no column {column!r} of its test rows; it keeps {there}", floor)
    scores = _scores(of.outcomes, column)
    means = {value: fmean(found) for value, found in scores.items() if len(found) >= _LEAST_ROWS}
    if not means:
        return missing(name, of, f"has no {column} with {_LEAST_ROWS} test rows", floor)
    worst = min(means, key=means.__getitem__)
    below = sum(mean < floor - _ROUNDING for mean in means.values())
    says = (
        f"the worst of {len(means):,} is {worst[:64]!r}: {means[worst]:.4f} of {len(scores[worst]):,} rows, at least "
    )
    says += f"{floor:g}" + (f"; {below:,} are below" if below > 1 else "")
    return gate(name, passed=not below, says=says, found=means[worst], asked=floor)


def _scores(outcomes: Outcomes, column: str) -> dict[str, list[float]]:
    """The scores of the rows of each value."""
    scores: dict[str, list[float]] = defaultdict(list)
    place = None if column == LABEL else outcomes.head.columns.index(column)
    for row in outcomes.rows:
        values = row.true if place is None else row.values[place]
        for value in values if isinstance(values, tuple) else (values,):
            if isinstance(value, str):
                scores[value].append(row.score or 0.0)
    return scores
