"""What a task brings: one class, whose one instance stands in `job.tasks.TASKS`; and what it is given to work with."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import nn

from tunewright.job.batches.side import Array, Rows, Targets
from tunewright.job.data.check import Cells
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.data.dataset import Dataset, strings
from tunewright.job.measure.evaluation import Evaluation
from tunewright.job.model.base_model import BaseModel
from tunewright.job.settings.job import JobSettings
from tunewright.job.train.loop import Trained, train
from tunewright.job.train.objective import Objective
from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.predictor import Predictor


@dataclass(frozen=True)
class Part:
    """One side of the data: its rows and what is to be learned of them."""

    data: Dataset
    targets: Targets
    keys: NDArray[np.uint64]
    """One number per row, equal for equal inputs."""

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True)
class Prepared:
    """Data that is ready to be learned from."""

    task: "Task"
    options: Options
    """The task's own settings, of the class the task names."""
    roles: Roles
    labels: list[str]
    train: Part
    validation: Part
    test: Part
    facts: dict[str, Any]
    """What was found, for the report and the lineage."""

    @property
    def samples(self) -> Part:
        """Rows that prove the exported files: of validation, or of train where nothing is held out for validation."""
        return self.validation if len(self.validation) else self.train

    @property
    def problem(self) -> str:
        """Which form of the task it is, such as `single_label`."""
        return self.task.problem(self.roles.target_role, self.options)


@dataclass(frozen=True)
class Plan:
    """Data, base model and what turns inputs into arrays: all a task needs to go to work."""

    settings: JobSettings
    prepared: Prepared
    base: BaseModel
    encoder: Any
    """What the task's `open_encoder` gave."""
    text: "Text | None" = None
    """What the base model reads first, where the settings ask for that."""


@dataclass(frozen=True)
class Text:
    """Unlabelled text that a base is adapted to: the plan of a job of its own, and its rows."""

    plan: Plan
    sides: tuple[Rows, Rows]


class Task(ABC):
    """From rows of data to a model that learns, to files that are served."""

    FORMS: ClassVar[tuple[Form, ...]]
    """The sets of columns it can learn from; the first where the settings name none."""
    NEEDS: ClassVar[tuple[str, ...]] = ("tokenizer.json",)
    """Files of the base model that it cannot do without."""
    MEDIA: ClassVar[str] = ""
    """Role of the column that names files, where there is one."""
    CLOSED: ClassVar[bool] = False
    """Whether all labels must stand in the training rows."""
    OPTIONS: ClassVar[type[Options]] = Options

    # Data

    @abstractmethod
    def problem(self, target_role: str, options: Any) -> str:
        """Which form of the task the columns and its `options` (of class OPTIONS) ask for, such as `single_label`."""

    @abstractmethod
    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """Arrow types of a checked input and of a checked target."""

    @abstractmethod
    def read(self, cells: Cells) -> tuple[Any, Any] | None:
        """One row, checked: its input as a caller would send it, and its target. None when a fault was counted."""

    def identity(self, value: Any) -> str:
        """Equal for inputs that must not stand on two sides: those whose texts are equal but for case."""
        return "\0".join(strings(value)).casefold()

    def strata(self, target: Any) -> list[str]:
        """The labels that a split keeps in proportion."""
        return []

    def learn_labels(self, targets: Sequence[Any], role: str) -> list[str]:
        """The labels in the order of the logits. DataError when there is nothing to learn."""
        return []

    def encode_targets(self, targets: Sequence[Any], labels: Sequence[str], problem: str) -> Targets:
        """Targets as the loss wants them, where they do not depend on how the input is encoded."""
        return None

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:  # noqa: B027
        """Say what the sides hold; DataError when the training side cannot teach."""

    # Encoding

    @abstractmethod
    def open_encoder(self, settings: JobSettings, base: BaseModel) -> Any:
        """What turns inputs into arrays, in training and in serving."""

    @abstractmethod
    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> Rows:
        """One side as arrays, kept in `folder` so that it need not fit into memory."""

    # Learning

    @abstractmethod
    def architectures(self) -> Sequence[str]:
        """The `model_type`s whose graph was compared with torch for this task."""

    @abstractmethod
    def build_model(self, plan: Plan) -> nn.Module:
        """The model with the base's weights and, where the task needs one, a new head."""

    @abstractmethod
    def objective(self, plan: Plan) -> Objective:
        """The loss the settings ask for, and what decides which epoch was best."""

    def train(self, model: nn.Module, sides: tuple[Rows, Rows], objective: Objective, plan: Plan) -> Trained:
        """Teach the model in place; it ends with the weights of the best epoch."""
        return train(model, sides, objective, plan.settings.train)

    def finish(self, model: nn.Module, objective: Objective) -> None:  # noqa: B027
        """Change a trained model in place to what is exported."""

    # Release

    @abstractmethod
    def headline(self, problem: str) -> str:
        """The metric that decides when none is named."""

    @abstractmethod
    def metric_names(self, problem: str) -> tuple[str, ...]:
        """The figures of an evaluation."""

    @abstractmethod
    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """Write the files of each variant below `onnx/` of the bundle."""

    @abstractmethod
    def model_file(self, plan: Plan, variants: dict[str, Variant]) -> ModelFile:
        """The bundle's description."""

    @abstractmethod
    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Any]) -> list[Array]:
        """What `Predictor.outputs` must give for these inputs, computed by torch, one input at a time."""

    def tune(self, draft: ModelFile, predictor: Predictor, plan: Plan) -> ModelFile:
        """Fill in what is chosen on the validation rows with the exported fp32 file, such as thresholds."""
        return draft

    @abstractmethod
    def evaluate(self, predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
        """Measure one variant on one side, through the code that serves it."""

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """The figures that an answer without a model gets on one side, such as always the commonest training label:
        what a model has to be better than. Empty where the task has no such answer."""
        return {}

    def purpose(self, model: ModelFile) -> str:
        """What the model does, as the model card says it: "Gives one label to a text"."""
        return f"Made for {model.task}"

    def served(self, value: Any) -> Any:
        """A checked input as `Predictor` takes it."""
        return value

    def request(self, value: Any) -> Any:
        """A checked input as JSON that a caller could send."""
        return value
