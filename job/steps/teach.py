"""One model of one base: built, told which weights learn, trained."""

from dataclasses import dataclass

from torch import nn

from tunewright.job.batches.side import Rows
from tunewright.job.kinds.task import Plan
from tunewright.job.model.layers import Parameters, choose_layers
from tunewright.job.progress import say
from tunewright.job.train.loop import Trained


@dataclass(frozen=True)
class Taught:
    """A model that has learned, as it will be exported."""

    model: nn.Module
    parameters: Parameters
    trained: Trained


def teach(plan: Plan, sides: tuple[Rows, Rows]) -> Taught:
    """Make the model of a plan and train it on the first side; the second one tells the best epoch."""
    task = plan.prepared.task
    objective = task.objective(plan)
    model = task.build_model(plan)
    parameters = choose_layers(model, plan.settings.train)
    say("model", f"{plan.base.address}: {parameters.total:,} weights, {parameters.learning:,} of them learn")
    trained = task.train(model, sides, objective, plan)
    task.finish(model, objective)
    return Taught(model, parameters, trained)
