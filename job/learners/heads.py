"""Models of transformers' Auto classes with a head: built with a new one, exported as one graph a variant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tunewright.job.export.graph import export_variants
from tunewright.job.kinds.plan import Plan
from tunewright.job.kinds.task import Graph
from tunewright.job.model.build import build_headed
from tunewright.job.model.load import AutoClass
from tunewright.serving.bundle.model_file import Variant


@dataclass(frozen=True)
class Headed(Graph):
    """A base model with a new head."""

    auto_class: AutoClass
    """transformers' class of such models."""
    export_task: str
    """What the exporter calls such a graph."""
    architectures: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """What the head has a number for; the labels of the data where none are named."""
    rows: Callable[[Plan], dict[str, torch.Tensor]] | None = None
    """Two real rows, where the base model does not say of which size all of them are."""

    def build(self, plan: Plan) -> nn.Module:
        """The base with a new head."""
        labels = list(self.labels) or plan.prepared.labels
        return build_headed(self.auto_class, plan.base, labels, plan.settings.train, scale_of(plan))

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph a variant."""
        rows, with_vector = self.rows(plan) if self.rows else None, keeps_neighbours(plan)
        unit = scale_of(plan)[1]
        return export_variants(model, self.export_task, folder, variants, unit=unit, rows=rows, with_vector=with_vector)


def keeps_neighbours(plan: Plan) -> bool:
    """Whether the version carries training rows, which are found by the vectors that its graph hands out."""
    return plan.settings.export.neighbours > 0


def scale_of(plan: Plan) -> tuple[float, float]:
    """Offset and factor from the last layer's output to the unit of the targets."""
    return plan.prepared.task.objective(plan).scale
