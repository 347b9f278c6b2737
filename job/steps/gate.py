"""Gates: what the exported files must reach on the test split before anything is released."""

from collections.abc import Mapping, Sequence

from tunewright.job.errors import GateFailed, SettingsError
from tunewright.job.measure.evaluation import Evaluation
from tunewright.job.settings.job import GateSettings, JobSettings
from tunewright.job.train.objective import lower_is_better

_ROUNDING = 1e-9
"""0.46 - 0.45 is not 0.01 in binary: figures that differ by so little are equal."""


def check_metrics(settings: JobSettings, measured: Sequence[str]) -> None:
    """SettingsError, before any training, for a metric or variant that will not be measured."""
    gate = settings.gate
    wanted = {
        "gate.min": list(gate.min),
        "gate.max": list(gate.max),
        "train.metric": [settings.train.metric] if settings.train.metric else [],
    }
    for setting, names in wanted.items():
        for name in names:
            if name not in measured:
                raise SettingsError(f"{setting} names {name!r}; this task measures {', '.join(measured)}")
    for name, floor in gate.min.items():
        if lower_is_better(name):
            raise SettingsError(f"gate.min names {name!r}, which is an error and has no floor; say gate.max.{name}")
        if floor > 1:
            raise SettingsError(f"gate.min.{name} is {floor:g}, but {name} is at most 1; 80 % is written 0.8")
    for name in gate.max:
        if not lower_is_better(name):
            raise SettingsError(f"gate.max names {name!r}, which is the better the higher; say gate.min.{name}")
    # int8 has a default, which is no mistake when int8 is not asked for; fp32 is what the others are compared with.
    droppable = dict.fromkeys([*settings.export.variants, "int8"])
    droppable.pop("fp32", None)
    unknown = [name for name in gate.max_drop if name not in droppable]
    if unknown:
        raise SettingsError(f"gate.max_drop names {unknown[0]!r}; it may name {', '.join(droppable)}")


def check_bounds(gate: GateSettings, measured: Evaluation) -> None:
    """GateFailed when the fp32 file misses a floor or exceeds a ceiling."""
    missed = [
        f"{name} is {measured.metrics[name]:.4f}, the gate asks for {floor:g}"
        for name, floor in gate.min.items()
        if not measured.metrics[name] >= floor - _ROUNDING
    ]
    missed += [
        f"{name} is {measured.metrics[name]:.4f}, the gate allows {ceiling:g}"
        for name, ceiling in gate.max.items()
        if not measured.metrics[name] <= ceiling + _ROUNDING
    ]
    if missed:
        raise GateFailed(
            f"the fp32 file did not pass on {measured.rows:,} test rows: {'; '.join(missed)}; nothing was registered"
        )


def short_of_baseline(headline: str, measured: Evaluation, baseline: Mapping[str, float]) -> str | None:
    """Why a file is not surely better than an answer without a model; None when it is, or where there is none."""
    if headline not in baseline:
        return None
    low, high = measured.intervals[headline]
    floor = baseline[headline]
    clears = high < floor if lower_is_better(headline) else low > floor
    if clears:
        return None
    return (
        f"{headline} {measured.metrics[headline]:.4f} (95 % interval {low:.3f} to {high:.3f}) does not clear "
        f"{floor:.4f}, which an answer without a model gets on these {measured.rows:,} test rows"
    )


def drop_reason(gate: GateSettings, variant: str, headline: str, fp32: Evaluation, measured: Evaluation) -> str | None:
    """Why a variant is left out, or None when it loses no more than it may."""
    allowed = gate.max_drop.get(variant)
    before, after = fp32.metrics[headline], measured.metrics[headline]
    # An error such as perplexity has no scale of its own: it is the share of its rise that counts.
    lost = after / max(before, 1e-12) - 1 if lower_is_better(headline) else before - after
    if allowed is None or lost <= allowed + _ROUNDING:
        return None
    if lower_is_better(headline):
        return f"{headline} rises from {before:.4f} to {after:.4f} (may rise by {allowed:.1%})"
    return f"{headline} falls from {before:.4f} to {after:.4f} (may lose {allowed:g})"
