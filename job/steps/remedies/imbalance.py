"""Uneven labels: rows drawn evenly, remedies tried one after the other, a threshold moved."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from tunewright.job.batches.resampled import Resampled, repeats
from tunewright.job.batches.sample import as_they_are
from tunewright.job.batches.side import Rows
from tunewright.job.batches.text import NO_LABEL, TokenRows
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.kinds.plan import Plan
from tunewright.job.measure.evaluation import gathered
from tunewright.job.model.classifiers import last_layer
from tunewright.job.progress.events import say, warn
from tunewright.job.train.decision import Decision, decide
from tunewright.job.train.objective import Objective, scored
from tunewright.serving.tasks.token_classification import OUTSIDE

if TYPE_CHECKING:
    from tunewright.job.steps.teach import Taught

Teach = Callable[[Plan, tuple[Rows, Rows], Checkpoints | None], "Taught"]
REMEDIES: dict[str, dict[str, object]] = {
    "none": {},
    "class_weights: balanced": {"class_weights": "balanced"},
    "class_weights: effective": {"class_weights": "effective"},
    "sampling: over": {"sampling": "over"},
    "logit_adjustment: 1": {"logit_adjustment": 1.0},
    "focal_gamma: 2": {"focal_gamma": 2.0},
}
"""What `train.imbalance: auto` tries, as settings of `train`."""


def sampled(plan: Plan, rows: Rows) -> Rows:
    """The training rows, drawn as `train.sampling` says."""
    settings, prepared = plan.settings.train, plan.prepared
    if settings.sampling is None:
        return rows
    single = prepared.problem == "single_label"
    often = repeats(_labels(plan, rows), settings.sampling, single=single)
    drawn = Resampled(rows, often, settings.seed)
    say("train", f"{settings.sampling}-sampling: an epoch has {len(drawn):,} rows of {len(rows):,}", rows=len(drawn))
    return drawn


def _labels(plan: Plan, rows: Rows) -> list[list[str]]:
    """The labels of each row; a long sentence has several rows."""
    plain = as_they_are(rows)
    if isinstance(plain, TokenRows):
        names, found = plan.prepared.labels, (plain.labelled(row)[1] for row in range(len(plain)))
        return [sorted({names[tag] for tag in tags if tag != NO_LABEL} - {OUTSIDE}) for tags in found]
    return [plan.prepared.task.target.strata(one) for one in plan.prepared.train.data.targets()]


def decisive(plan: Plan) -> str:
    """The figure that tells which remedy is best: macro-F1 where the job names none and the task has it."""
    prepared = plan.prepared
    names = prepared.task.target.metric_names(prepared.problem)
    return plan.settings.train.metric or ("macro_f1" if "macro_f1" in names else names[0])


def best_remedy(plan: Plan, sides: tuple[Rows, Rows], teach: Teach, checkpoints: Checkpoints | None = None) -> "Taught":
    """Teach with each remedy, and keep the model that is best on the validation rows; the first of equal ones."""
    metric, best, figures = decisive(plan), None, []
    objective = plan.prepared.task.objective(plan)
    for name, changes in REMEDIES.items():
        if "logit_adjustment" in changes and plan.prepared.problem == "multi_label":
            continue
        say("imbalance", f"trying {name}")
        own = checkpoints and checkpoints.of(name.replace(": ", "-"))
        taught = teach(plan.with_train(imbalance=None, metric=metric, **changes), sides, own)
        figures.append({"remedy": name, **taught.trained.figures})
        if best is None or objective.better(taught.trained.figures[metric], best[1].trained.figures[metric]):
            best = name, taught
    assert best is not None
    kept, taught = best
    taught.trained.remedies = [{**one, "kept": one["remedy"] == kept} for one in figures]
    shown = ", ".join(f"{one['remedy']} {one[metric]:.4f}" for one in figures)
    say("imbalance", f"kept {kept}, by {metric} on validation: {shown}", kept=kept, metric=metric)
    return taught


def move_threshold(model: nn.Module, plan: Plan, validation: Rows, objective: Objective) -> Decision | None:
    """Move the bias of the label that `train.threshold` names, and say what that bought."""
    wanted = plan.settings.train.threshold
    if wanted is None:
        return None
    logits, targets = gathered(scored(model, validation, objective))
    number = plan.prepared.labels.index(wanted.label)
    found = decide(logits, targets, number, wanted)
    with torch.no_grad():
        last_layer(model).bias[number] += found.shift
    _say(found)
    return found


def _say(found: Decision) -> None:
    if not found.rows:
        warn("threshold", f"no validation row has the label {found.label!r}: it begins where it did")
        return
    text = (
        f"{found.label!r}: precision {found.precision_before:.3f} -> {found.precision:.3f}, recall "
        f"{found.recall_before:.3f} -> {found.recall:.3f} on its {found.rows:,} validation rows"
    )
    if found.reached:
        say("threshold", text, shift=found.shift)
    else:
        warn("threshold", f"{text}; what train.threshold asks for is not to be had there", shift=found.shift)
