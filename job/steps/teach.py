"""One model of one base: built, told which weights learn, trained."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from tunewright.job.batches.side import Rows
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.kinds.plan import Plan
from tunewright.job.model.classifiers import scale_head
from tunewright.job.model.layers import Parameters, choose_layers, keep_layers
from tunewright.job.progress.events import say
from tunewright.job.steps import few_shot
from tunewright.job.steps.augment import augmented
from tunewright.job.steps.epochs import with_epochs
from tunewright.job.steps.remedies.imbalance import best_remedy, move_threshold, sampled
from tunewright.job.steps.remedies.rounding import bear_rounding
from tunewright.job.steps.teachers.distill import distilled
from tunewright.job.steps.teachers.pseudo_labels import self_taught
from tunewright.job.train.loop import train
from tunewright.job.train.objective import Objective, Watch, nobody
from tunewright.job.train.state import Trained

Before = Callable[[nn.Module, tuple[Rows, Rows], Objective, Plan], int]
"""Called before a model learns; how often the tokens that go through it at a time are halved from the beginning."""


def unplanned(model: nn.Module, sides: tuple[Rows, Rows], objective: Objective, plan: Plan) -> int:
    """As many as the settings say."""
    return 0


@dataclass(frozen=True)
class Taught:
    """A model that has learned, as it will be exported."""

    model: nn.Module
    parameters: Parameters
    trained: Trained


def teach(
    plan: Plan,
    sides: tuple[Rows, Rows],
    checkpoints: Checkpoints | None = None,
    *,
    watch: Watch = nobody,
    before: Before = unplanned,
) -> Taught:
    """Make the model of a plan and train it on the first side; the second one tells the best epoch, and the best
    remedy where several are tried; else `watch` is told what is measured there. With `checkpoints` training goes on
    where it was stopped."""
    if plan.settings.train.pseudo_labels:
        return self_taught(plan, sides, partial(_best, before=before), checkpoints)
    return _best(plan, sides, checkpoints, watch=watch, before=before)


def _best(
    plan: Plan, sides: tuple[Rows, Rows], checkpoints: Checkpoints | None, *, before: Before, watch: Watch = nobody
) -> Taught:
    if plan.settings.train.imbalance:
        return best_remedy(plan, sides, partial(_teach, before=before), checkpoints)
    return _teach(plan, sides, checkpoints, watch=watch, before=before)


def _teach(
    plan: Plan, sides: tuple[Rows, Rows], checkpoints: Checkpoints | None, *, before: Before, watch: Watch = nobody
) -> Taught:
    task = plan.prepared.task
    objective = replace(task.objective(plan), watch=watch)
    model = task.graph.build(plan)
    keep_layers(model, plan.settings.train.keep_layers)
    parameters = choose_layers(model, plan.settings.train)
    say("model", f"{plan.base.address}: {parameters.total:,} weights, {parameters.learning:,} of them learn")
    rows, objective = distilled(plan, sampled(plan, augmented(plan, sides[0])), objective)
    plan = with_epochs(plan, len(rows))
    trained = _trained(model, (rows, sides[1]), objective, plan, checkpoints, before)
    rounded = checkpoints and checkpoints.of("rounded")
    bear_rounding(model, (rows, sides[1]), objective, plan, trained, rounded)
    if objective.scale != (0.0, 1.0):
        scale_head(model, objective.scale)
    trained.decision = move_threshold(model, plan, sides[1], objective)
    return Taught(model, parameters, trained)


def _trained(
    model: nn.Module,
    sides: tuple[Rows, Rows],
    objective: Objective,
    plan: Plan,
    checkpoints: Checkpoints | None,
    before: Before,
) -> Trained:
    if objective.idle:
        say("train", f"{objective.idle}: the weights stay as they are")
        return Trained("fp32", "cpu")
    if plan.settings.train.few_shot:
        return few_shot.teach(model, sides, plan, checkpoints, watch=objective.watch, before=before)
    halvings = before(model, sides, objective, plan)
    return train(model, sides, objective, plan.settings.train, checkpoints, halvings=halvings)
