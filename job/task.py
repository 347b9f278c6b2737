"""What a task brings: one class, whose one instance stands in `job.tasks.TASKS`.

Axes: N rows, B rows of a batch, L labels (1 for regression).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import nn

from job.dataset import strings
from job.settings import JobSettings
from serving.bundle import ModelFile, Variant
from serving.predictor import Predictor

if TYPE_CHECKING:
    from job.base_model import BaseModel as Base
    from job.check import Cells, Roles
    from job.evaluate import Evaluation
    from job.plan import Part, Plan
    from job.train import Trained

Array = NDArray[np.float32]
Targets = Any
"""What the loss compares with, by row: `[N]` label numbers, `[N, L]` zeros and ones, `[N]` numbers; None where the
encoded rows carry it."""
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Batch = dict[str, torch.Tensor]


class Options(BaseModel):
    """Settings that only one task has (`options:` of a job)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Form:
    """One set of columns that a task can learn from, by the parts they play."""

    inputs: tuple[str, ...]
    optional: tuple[str, ...] = ()
    """More inputs, which may be absent."""
    target: str = ""
    """What is to be learned; empty where the inputs are all there is."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Every part."""
        return (*self.inputs, *self.optional, *((self.target,) if self.target else ()))


class Rows(Protocol):
    """One side of the data as the training loop reads it."""

    lengths: NDArray[np.int64]
    """What a row costs (tokens), `[N]`: rows of like length share a batch."""
    truncated: int
    """Rows of which a part was left out."""

    def __len__(self) -> int: ...

    def batch(self, rows: Sequence[int]) -> Batch:
        """The model's inputs `[B, ...]` of these rows, and their `targets`."""


@runtime_checkable
class Renewed(Protocol):
    """Training rows that differ from epoch to epoch, as masked ones do."""

    def renew(self, epoch: int) -> None:
        """Called before each epoch, which are counted from 1."""


class NoRows:
    """A side that has none."""

    lengths: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    truncated = 0

    def __len__(self) -> int:
        return 0

    def batch(self, rows: Sequence[int]) -> Batch:
        """There is nothing to read."""
        raise IndexError("there are no rows")


Scored = Iterator[tuple[list[int], Batch, torch.Tensor]]
"""Row numbers, the batch (with its targets) and the logits of each batch of a side, in any order."""


def forward(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The logits of a batch without its targets."""
    logits: torch.Tensor = model(**batch)["logits"]
    return logits


@dataclass(frozen=True)
class Objective:
    """What training makes small, and what tells the best epoch."""

    loss: Loss
    """Logits in the unit of the targets, and targets, to one number."""
    measure: Callable[[Scored], dict[str, float]]
    """The scored batches of the validation side to figures."""
    metric: str
    """The figure that decides."""
    scale: tuple[float, float] = (0.0, 1.0)
    """Offset and factor from the last layer's output to the unit of the targets."""
    forward: Callable[[nn.Module, Batch], torch.Tensor] = forward
    """The model and a batch without its targets to logits."""
    validation_tokens: int = 4096
    """Padded tokens of one validation batch."""

    def better(self, figure: float, than: float) -> bool:
        """Whether a figure beats another one."""
        return figure < than if lower_is_better(self.metric) else figure > than


def lower_is_better(metric: str) -> bool:
    """Whether a figure of this name is an error."""
    return metric in ("rmse", "loss", "perplexity")


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
    def arrow_types(self, roles: "Roles") -> tuple[pa.DataType, pa.DataType]:
        """Arrow types of a checked input and of a checked target."""

    @abstractmethod
    def read(self, cells: "Cells") -> tuple[Any, Any] | None:
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

    def check_sides(self, sides: "Mapping[str, Part]", labels: list[str], problem: str) -> None:  # noqa: B027
        """Say what the sides hold; DataError when the training side cannot teach."""

    # Encoding

    @abstractmethod
    def open_encoder(self, settings: JobSettings, base: "Base") -> Any:
        """What turns inputs into arrays, in training and in serving."""

    @abstractmethod
    def encode(self, plan: "Plan", side: str, folder: Path, on_rows: Callable[[int], None]) -> Rows:
        """One side as arrays, kept in `folder` so that it need not fit into memory."""

    # Learning

    @abstractmethod
    def architectures(self) -> Sequence[str]:
        """The `model_type`s whose graph was compared with torch for this task."""

    @abstractmethod
    def build_model(self, plan: "Plan") -> nn.Module:
        """The model with the base's weights and, where the task needs one, a new head."""

    @abstractmethod
    def objective(self, plan: "Plan") -> Objective:
        """The loss the settings ask for, and what decides which epoch was best."""

    def train(self, model: nn.Module, sides: tuple[Rows, Rows], objective: Objective, plan: "Plan") -> "Trained":
        """Teach the model in place; it ends with the weights of the best epoch."""
        from job.train import train

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
    def export(self, model: nn.Module, plan: "Plan", folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """Write the files of each variant below `onnx/` of the bundle."""

    @abstractmethod
    def model_file(self, plan: "Plan", variants: dict[str, Variant]) -> ModelFile:
        """The bundle's description."""

    @abstractmethod
    def torch_outputs(self, model: nn.Module, plan: "Plan", inputs: Sequence[Any]) -> list[Array]:
        """What `Predictor.outputs` must give for these inputs, computed by torch, one input at a time."""

    def tune(self, draft: ModelFile, predictor: Predictor, plan: "Plan") -> ModelFile:
        """Fill in what is chosen on the validation rows with the exported fp32 file, such as thresholds."""
        return draft

    @abstractmethod
    def evaluate(self, predictor: Predictor, part: "Part", plan: "Plan") -> "Evaluation":
        """Measure one variant on one side, through the code that serves it."""

    def purpose(self, model: ModelFile) -> str:
        """What the model does, as the model card says it: "Gives one label to a text"."""
        return f"Made for {model.task}"

    def served(self, value: Any) -> Any:
        """A checked input as `Predictor` takes it."""
        return value

    def request(self, value: Any) -> Any:
        """A checked input as JSON that a caller could send."""
        return value
