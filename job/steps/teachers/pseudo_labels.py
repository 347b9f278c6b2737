"""Pseudo-labels: what a model is sure of in unlabelled rows is learned as if it were given (Lee 2013).

Axes: N training rows, U unlabelled rows, L labels.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn

from tunewright.job.batches.side import Array, Rows
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.data.faults import listed
from tunewright.job.kinds.plan import Part, Plan, Pool, Prepared
from tunewright.job.measure.evaluation import gathered
from tunewright.job.progress.events import bar, say, warn
from tunewright.job.settings.remedies import PseudoLabelSettings
from tunewright.job.steps.teachers.distill import labels_of
from tunewright.job.steps.teachers.unlabelled import extended
from tunewright.job.train.objective import Objective, scored
from tunewright.serving.runtime.scores import scores

if TYPE_CHECKING:
    from tunewright.job.steps.teach import Taught

Teach = Callable[[Plan, tuple[Rows, Rows], Checkpoints | None], "Taught"]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class _Sure:
    """Unlabelled rows of which a model is sure."""

    rows: Numbers
    labels: list[object]
    """As the data set keeps targets."""

    def counted(self) -> dict[str, int]:
        """Rows of each label, the commonest first."""
        return dict(Counter(label for of in self.labels for label in of).most_common())  # type: ignore[attr-defined]


def with_pool(plan: Plan, work: Path) -> Plan:
    """The plan with its unlabelled rows as arrays."""
    prepared = plan.prepared
    assert prepared.unlabelled is not None
    bare = [prepared.labels[:1] if prepared.problem == "single_label" else []] * len(prepared.unlabelled)
    targets = prepared.task.target.encode(bare, prepared.labels, prepared.problem)
    alone = replace(plan, prepared=replace(prepared, train=replace(prepared.unlabelled, targets=targets)))
    return replace(plan, pool=Pool(_encoded(alone, work / "pool"), work))


def self_taught(plan: Plan, sides: tuple[Rows, Rows], teach: Teach, checkpoints: Checkpoints | None = None) -> "Taught":
    """Teach, let the model label what it is sure of, and teach anew with that; the last model that is not worse than
    the one before on the validation rows is kept."""
    settings, pool, objective = plan.settings.train.pseudo_labels, plan.pool, plan.prepared.task.objective(plan)
    assert settings is not None
    assert pool is not None
    best, told = teach(plan, sides, checkpoints and checkpoints.of("labelled")), []
    for turn in range(1, settings.rounds + 1):
        found = sure(_answers(best.model, pool.rows, objective), plan.prepared, settings)
        if not len(found.rows):
            warn("pseudo", f"of {len(pool.rows):,} unlabelled rows none is sure by {settings.floor:g}: none is added")
            break
        say("pseudo", f"round {turn}: {len(found.rows):,} of {len(pool.rows):,} unlabelled rows are added")
        more, rows = _with(plan, found, pool)
        again = teach(more, (rows, sides[1]), checkpoints and checkpoints.of(f"round-{turn}"))
        before, after = (one.trained.figures[objective.metric] for one in (best, again))
        kept = not objective.better(before, after)
        told.append({"round": turn, "added": found.counted(), "before": before, "after": after, "kept": kept})
        say("pseudo", sentence(told[-1], objective.metric), rows=len(found.rows), **told[-1])
        if not kept:
            break
        best = again
    best.trained.pseudo_labels = told
    return best


def sentence(one: dict[str, object], metric: str) -> str:
    """What a round bought, for people."""
    added: dict[str, int] = one["added"]  # type: ignore[assignment]
    counts = listed((f"{label} {count:,}" for label, count in added.items()), 12) or "none of any label"
    return (
        f"round {one['round']}, {counts}: {metric} on validation {one['before']:.4f} -> {one['after']:.4f}; the model "
        f"{'with' if one['kept'] else 'without'} them is kept"
    )


def sure(logits: Array, prepared: Prepared, settings: PseudoLabelSettings) -> _Sure:
    """The rows that logits `[U, L]` are sure of, the surest of each label, in the order of the data."""
    if prepared.problem == "single_label":
        certain, best = scores(logits, "softmax").max(-1), logits.argmax(-1)
        counts = np.bincount(prepared.train.targets, minlength=len(prepared.labels))
        groups = [(np.flatnonzero(best == label), count) for label, count in enumerate(counts)]
    else:
        each = scores(logits, "sigmoid")
        certain = np.maximum(each, 1 - each).min(-1)
        groups = [(np.arange(len(logits)), len(prepared.train))]
    chosen = [_surest(rows, certain, settings, int(settings.share * count)) for rows, count in groups]
    rows = np.sort(np.concatenate(chosen))
    return _Sure(rows, labels_of(logits[rows], prepared))


def _surest(rows: Numbers, certain: Array, settings: PseudoLabelSettings, most: int) -> Numbers:
    over = rows[certain[rows] >= settings.floor]
    return over[np.argsort(-certain[over], kind="stable")[:most]]


def _answers(model: nn.Module, rows: Rows, objective: Objective) -> Array:
    """Logits of a model that has learned."""
    logits, _ = gathered(scored(model.to(Accelerator().device).eval(), rows, objective))
    model.cpu()
    return logits


def _with(plan: Plan, found: _Sure, pool: Pool) -> tuple[Plan, Rows]:
    """The plan with these rows among those of train, and all of these as arrays."""
    # Each time another folder: what an earlier round reads stays as it is.
    folder = Path(tempfile.mkdtemp(prefix="pseudo-", dir=pool.folder))
    more = replace(plan, prepared=extended(plan.prepared, found.rows, found.labels, folder))
    return more, _encoded(more, folder / "rows")


def _encoded(plan: Plan, folder: Path) -> Rows:
    part: Part = plan.prepared.train
    with bar("encode", len(part)) as advance:
        return plan.prepared.task.inputs.encode(plan, "train", folder, on_rows=advance)
