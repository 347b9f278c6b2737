"""What a task is: a value made of four parts, one of which stands in `job.tasks.TASKS` under each name.

Columns and target are all that reading and checking data needs. What needs torch (inputs and graph, the learner) is
opened when the data is known to be good: a mistake in it is told within a second.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from tunewright.job.data.cells import Cells
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.data.dataset import strings
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.measure.metric import lower_is_better
from tunewright.job.settings.job import JobSettings
from tunewright.serving.bundle.model_file import ModelFile, Variant

if TYPE_CHECKING:
    from torch import nn

    from tunewright.job.batches.side import Array, HeldTargets, Rows
    from tunewright.job.measure.calibration import Outcomes
    from tunewright.job.measure.evaluation import Evaluation
    from tunewright.job.model.base_model import BaseCheckpoint
    from tunewright.job.train.objective import Objective
    from tunewright.serving.predictor import Predictor
Input = TypeVar("Input")
Beside = TypeVar("Beside", contravariant=True)
Truth = TypeVar("Truth")


class Columns(Protocol[Input]):
    """Which columns of the data are the input, how it is read from a row, and how a caller would send it.

    `Input`: a checked input, as the data set keeps it.
    """

    subject: str
    """What one input is called: "a text"."""
    media: str
    """Role of the column that names files; empty where there is none."""
    uses: frozenset[str]
    """Settings that only some columns have and these do, such as `data.cleaning`."""

    def forms(self, targets: Sequence[str]) -> tuple[Form, ...]:
        """The sets of columns that can be learned from, the usual one first. `targets`: the target's roles."""

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """Arrow type of a checked input."""

    def read(self, cells: Cells) -> Input | None:
        """The input of one row, checked; None where a fault was counted or the row is left out."""

    def identity(self, value: Input) -> str:
        """Equal for inputs that must not stand on two sides: those whose texts are equal but for case."""
        return "\0".join(strings(value)).casefold()

    def served(self, value: Input) -> Any:
        """A checked input as `Predictor` takes it."""
        return value

    def request(self, value: Input) -> object:
        """A checked input as JSON that a caller could send."""
        return value


class Target(Protocol[Beside, Truth]):
    """What is learned of a row: how it is read, what is made small, and what tells how well it was learned.

    `Beside`: the checked input beside it; `object` where it does not matter. `Truth`: a checked target.
    """

    roles: tuple[str, ...] = ("",)
    """The columns that hold it, of which a job has one; an empty one where rows may have none."""
    closed: bool = False
    """Whether all labels must stand in the training rows."""
    uses: frozenset[str] = frozenset()
    """Settings that only some targets have and this one does, such as `train.class_weights`."""

    def problem(self, role: str, options: Options) -> str:
        """Which form of the task the column and the task's options ask for, such as `single_label`."""

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """The figures of an evaluation, the headline first, which decides where none is named."""

    def purpose(self, model: ModelFile, subject: str) -> str:
        """What the model does, as the model card says it: "Gives one label to a text"."""

    # Data

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """Arrow type of a checked target."""
        return pa.null()

    def read(self, cells: Cells, value: Beside | None) -> Truth | None:
        """The target of one row, checked, beside its input (None where that has a fault). None as in `Columns.read`."""

    def strata(self, target: Truth) -> list[str]:
        """The labels that a split keeps in proportion."""
        return []

    def learn(self, targets: Sequence[Truth], role: str) -> list[str]:
        """The labels in the order of the logits. DataError when there is nothing to learn."""
        return []

    def encode(self, targets: Sequence[Truth], labels: Sequence[str], problem: str) -> "HeldTargets":
        """HeldTargets as the loss wants them, where they do not depend on how the input is encoded."""
        return np.zeros(0, dtype=np.float32)

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say what the sides hold; DataError when the training side cannot teach."""
        return

    # Settings

    def contradictions(self, settings: JobSettings, roles: Roles, options: Options) -> list[str]:
        """What else the settings ask for that cannot be: a sentence each."""
        return []

    # Learning and release

    def objective(self, plan: Plan) -> "Objective":
        """The loss the settings ask for, and what decides which epoch was best."""

    def outcomes(self, predictor: "Predictor", part: Part, plan: Plan) -> "Outcomes | None":
        """What one variant gives for the rows of one side beside what is true of them, where its scores promise how
        often they are right."""
        return None

    def tune(self, draft: ModelFile, predictor: "Predictor", plan: Plan) -> ModelFile:
        """Fill in what is chosen on the validation rows with the exported fp32 file, such as thresholds."""
        return draft

    def evaluate(self, predictor: "Predictor", part: Part, plan: Plan) -> "Evaluation":
        """Measure one variant on one side, through the code that serves it."""

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """The figures that an answer without a model gets on one side, such as always the commonest training label:
        what a model has to be better than. Empty where the task has no such answer."""
        return {}


class Inputs(Protocol):
    """What turns checked inputs into the arrays of a model, in training and in serving."""

    needs: ClassVar[tuple[str, ...]]
    """Files of the base model that it cannot do without."""

    def open_encoder(self, settings: JobSettings, base: "BaseCheckpoint") -> object:
        """What the plan holds as its encoder."""

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> "Rows":
        """One side as arrays, kept in `folder` so that it need not fit into memory."""

    def bounded(self, objective: "Objective") -> "Objective":
        """The objective with how many rows of these inputs may go through the model at a time."""
        return objective

    def described(self, plan: Plan) -> dict[str, object]:
        """What a server must know of the inputs: fields of `model.json`."""

    def torch_outputs(self, model: "nn.Module", plan: Plan, inputs: Sequence[Any]) -> "list[Array]":
        """What `Predictor.outputs` must give for these inputs, computed by torch, one input at a time."""


class Graph(Protocol):
    """The model that learns, and the files it becomes."""

    architectures: tuple[str, ...]
    """The `model_type`s whose graph was compared with torch for this task."""

    def build(self, plan: Plan) -> "nn.Module":
        """The model with the base's weights and, where the task needs one, a new head."""

    def export(self, model: "nn.Module", plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """Write the files of each variant below `onnx/` of the bundle."""


@dataclass(frozen=True)
class Learner:
    """The half of a task that needs torch."""

    inputs: Inputs
    graph: Graph


@dataclass(frozen=True)
class Task:
    """From rows of data to a model that learns, to files that are served."""

    about: str
    """What it does: "Texts or pairs of texts to labels."."""
    columns: Columns[Any]
    target: Target[Any, Any]
    learner: Callable[[], Learner]
    """Opens the other half."""
    options: type[Options] = Options
    """The task's own settings."""
    uses: frozenset[str] = frozenset()
    """Settings that only some learners have and this one does, such as `train.pooling`."""
    augments: frozenset[str] = frozenset()
    """What `train.augment` can change in its training rows."""

    @property
    def forms(self) -> tuple[Form, ...]:
        """The sets of columns it can learn from; the first where the settings name none."""
        return self.columns.forms(self.target.roles)

    @property
    def media(self) -> str:
        """Role of the column that names files; empty where there is none."""
        return self.columns.media

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """Arrow types of a checked input and of a checked target."""
        return self.columns.arrow_type(roles), self.target.arrow_type(roles)

    def read(self, cells: Cells) -> tuple[object, object]:
        """Input and target of one row, checked; of no use where a fault was counted or the row is left out."""
        value = self.columns.read(cells)
        return value, self.target.read(cells, value)

    def identity(self, value: object) -> str:
        """Equal for inputs that must not stand on two sides."""
        return self.columns.identity(value)

    @property
    def inputs(self) -> Inputs:
        """From checked inputs to arrays."""
        return self.learner().inputs

    @property
    def graph(self) -> Graph:
        """The model and its files."""
        return self.learner().graph

    def headline(self, problem: str) -> str:
        """The metric that decides when none is named."""
        return self.target.metric_names(problem)[0]

    def objective(self, plan: Plan) -> "Objective":
        """The loss the settings ask for, with room for the rows of its inputs."""
        objective = self.inputs.bounded(self.target.objective(plan))
        return replace(objective, lower_is_better=lower_is_better(objective.metric))

    def purpose(self, model: ModelFile) -> str:
        """What the model does, as the model card says it."""
        return self.target.purpose(model, self.columns.subject)

    def model_file(self, plan: Plan, variants: dict[str, Variant]) -> ModelFile:
        """The bundle's description."""
        prepared = plan.prepared
        stated = {
            "format": 1,
            "task": plan.settings.task,
            "problem": prepared.problem,
            "labels": prepared.labels,
            "variants": variants,
            "default_variant": "fp32",
            "requires": [prepared.requires] if prepared.requires else [],
        }
        return ModelFile.model_validate({**stated, **self.inputs.described(plan)})
