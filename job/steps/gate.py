"""Gates: what the exported files must reach on the test split before anything is released."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tunewright.job.errors import GateFailed
from tunewright.job.kinds.task import Task
from tunewright.job.kinds.texts import Texts
from tunewright.job.measure.metric import lower_is_better
from tunewright.job.progress.events import warn
from tunewright.job.settings.job import GateSettings

if TYPE_CHECKING:  # these need torch, and whether a task is asked so is told without it
    from tunewright.job.measure.evaluation import Evaluation
    from tunewright.job.measure.rows.robustness import Robustness

_ROUNDING = 1e-9
"""0.46 - 0.45 is not 0.01 in binary: figures that differ by so little are equal."""


def check_bounds(gate: GateSettings, measured: "Evaluation") -> None:
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


def check_budget(gate: GateSettings, variant: str, *, mib: float, ms_per_text: float) -> None:
    """GateFailed when the file that is served by default is larger or slower than declared."""
    over = [
        f"it {does} {found:.2f} {unit}, gate.{name} allows {allowed:g}"
        for name, does, unit, found, allowed in (
            ("max_mib", "has", "MiB", mib, gate.max_mib),
            ("max_ms_per_text", "takes", "ms a text", ms_per_text, gate.max_ms_per_text),
        )
        if allowed is not None and found > allowed
    ]
    if over:
        raise GateFailed(
            f"the {variant} file, served by default, is over its budget: {'; '.join(over)}; nothing was registered"
        )


def is_altered(task: Task, problem: str) -> bool:
    """Whether test texts are written otherwise to see which answers stay: where these are labels of texts."""
    return isinstance(task.columns, Texts) and problem in ("single_label", "multi_label")


def check_flips(gate: GateSettings, measured: "Robustness") -> None:
    """GateFailed when more answers change than may; a warning where no row could be changed so."""
    over = []
    for kind, allowed in gate.max_flip.items():
        found = measured.kinds[kind]
        if not found.rows:
            warn("gate", f"gate.max_flip.{kind} was not held against anything: it changes none of the test rows")
        elif found.share > allowed + _ROUNDING:
            over.append(f"{kind} changes {found.share:.4f} of {found.rows:,} answers, gate.max_flip allows {allowed:g}")
    if over:
        raise GateFailed(
            f"the {measured.variant} file, served by default, answers otherwise what is only written otherwise: "
            f"{'; '.join(over)}; nothing was registered"
        )


def short_of_baseline(headline: str, measured: "Evaluation", baseline: Mapping[str, float]) -> str | None:
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


def is_too_much(figure: str, before: float, after: float, allowed: float) -> bool:
    """Whether a figure loses more than it may: a difference, or of an error the share by which it rises."""
    # An error such as perplexity has no scale of its own.
    lost = after / max(before, 1e-12) - 1 if lower_is_better(figure) else before - after
    # What is not a number has lost everything.
    return not lost <= allowed + _ROUNDING


def drop_reason(
    gate: GateSettings, variant: str, headline: str, fp32: "Evaluation", measured: "Evaluation"
) -> str | None:
    """Why a variant is left out, or None when it loses no more than it may."""
    allowed = gate.max_drop.get(variant)
    before, after = fp32.metrics[headline], measured.metrics[headline]
    if allowed is None or not is_too_much(headline, before, after, allowed):
        return None
    if lower_is_better(headline):
        return f"{headline} rises from {before:.4f} to {after:.4f} (may rise by {allowed:.1%})"
    return f"{headline} falls from {before:.4f} to {after:.4f} (may lose {allowed:g})"
