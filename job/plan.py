"""What is known of a job once its data and its base model have been looked at."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from job.base_model import BaseModel
from job.dataset import Dataset
from job.settings import JobSettings

if TYPE_CHECKING:
    from job.check import Roles
    from job.task import Options, Rows, Targets, Task


@dataclass(frozen=True)
class Part:
    """One side of the data: its rows and what is to be learned of them."""

    data: Dataset
    targets: "Targets"
    keys: NDArray[np.uint64]
    """One number per row, equal for equal inputs."""

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True)
class Prepared:
    """Data that is ready to be learned from."""

    task: "Task"
    options: "Options"
    """The task's own settings, of the class the task names."""
    roles: "Roles"
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
    sides: "tuple[Rows, Rows]"
