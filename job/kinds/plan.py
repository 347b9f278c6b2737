"""What a job knows before anything is learned: the data, the base model, and what turns inputs into arrays."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.columns import Options, Roles
from tunewright.job.data.dataset import Dataset
from tunewright.job.data.sources.media import Fingerprint
from tunewright.job.settings.job import JobSettings

if TYPE_CHECKING:
    from tunewright.job.batches.side import HeldTargets, Rows
    from tunewright.job.kinds.task import Task
    from tunewright.job.model.base_model import BaseCheckpoint


Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Part:
    """One side of the data: its rows and what is to be learned of them."""

    data: Dataset
    targets: "HeldTargets"
    keys: NDArray[np.uint64]
    """One number per row, equal for equal inputs."""

    def __len__(self) -> int:
        return len(self.data)

    def drawn(self, rows: int, seed: int) -> "Part":
        """So many rows drawn at random; of one label a row, a row of each label even where that makes more of them."""
        order = np.random.default_rng(seed).permutation(len(self))
        targets = self.targets.take(order) if len(self.targets) else self.targets
        if isinstance(targets, np.ndarray) and targets.dtype == np.int64 and len(targets):
            first = np.unique(targets, return_index=True)[1]
            order = np.concatenate([order[first], np.delete(order, first)])
            rows = max(rows, len(first))
        chosen = np.sort(order[:rows])
        return self.select(chosen)

    def select(self, rows: NDArray[np.int64]) -> "Part":
        """The rows at some positions."""
        targets = self.targets.take(rows) if len(self.targets) else self.targets
        return Part(self.data.select(rows), targets, self.keys[rows])


class TeacherFacts(TypedDict):
    """The version that teaches, or one that translates."""

    version: str
    """Its name and number."""
    digest: str
    reference: str
    """Its name and digest: an alias may move meanwhile."""


class DataFacts(TypedDict, total=False):
    """What was found in the data, for the report and the lineage."""

    files: dict[str, list[Fingerprint]]
    rows: dict[str, int]
    split_digests: dict[str, str]
    dropped_empty_rows: int
    left_out_rows: dict[str, dict[str, int]]
    truncated_rows: int
    tokenizer_fit: dict[str, float]
    augmented_samples: list[str]
    teacher: TeacherFacts
    translators: list[TeacherFacts]


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
    facts: DataFacts
    """What was found; steps that come after add to it."""
    more_metrics: tuple[str, ...] = ()
    """Those of plug-ins, which the settings add."""
    requires: str = ""
    """The package that brings the task, as `name==version`; empty for one that is built in."""
    unlabelled: Part | None = None
    """Rows of which nothing is said, without targets."""
    out_of_scope: Part | None = None
    """Rows that have none of the labels, without targets."""
    imported: bool = False
    """Whether the model was taught elsewhere: nobody knows of which rows, and `train` are rows that it is measured
    on, in their place."""

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that the data has."""
        return ("validation", "test") if self.imported else ("train", "validation", "test")

    def part(self, side: str) -> Part:
        """The rows of `train`, `validation` or `test`."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[side]

    @property
    def samples(self) -> Part:
        """Rows that prove the exported files: of validation, or of train where nothing is held out for validation."""
        return self.validation if len(self.validation) else self.train

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The figures of an evaluation, the headline first, then those that the settings add."""
        return (*self.task.target.metric_names(self.problem), *self.more_metrics)

    @property
    def problem(self) -> str:
        """Which form of the task it is, such as `single_label`."""
        return self.task.target.problem(self.roles.target_role, self.options)


@dataclass(frozen=True)
class Plan:
    """Data, base model and what turns inputs into arrays: all a task needs to go to work."""

    settings: JobSettings
    prepared: Prepared
    base: "BaseCheckpoint"
    encoder: object
    """What the `open_encoder` of the task's inputs gave."""
    adaptation: "AdaptationPlan | None" = None
    """What the base model reads first, where the settings ask for that."""
    teaching: "Teaching | None" = None
    """What a teacher answers, where there is one."""
    translated: Dataset | None = None
    """The inputs of the training rows after a translation and back, where the settings ask for that."""
    pool: "Pool | None" = None
    """Unlabelled rows, where the model labels them itself."""
    encoded: Path | None = None
    """Where token ids are kept for the next run; None where they are not."""

    def with_train(self, **changes: object) -> "Plan":
        """The plan with other settings of `train`."""
        train = self.settings.train.model_copy(update=changes)
        return replace(self, settings=self.settings.model_copy(update={"train": train}))

    def opened(self, kind: type[Kind]) -> Kind:
        """The encoder, of the class that the task's inputs open."""
        assert isinstance(self.encoder, kind)
        return self.encoder


@dataclass(frozen=True)
class Teaching:
    """What a teacher answers to the training rows."""

    logits: NDArray[np.float32]
    """`[N, L]`, in the order of the labels; numbers in the unit of the data, `[N, 1]`."""
    labelled: int
    """The first so many rows have labels of their own, the others those that the teacher gives them."""


@dataclass(frozen=True)
class Pool:
    """Unlabelled rows as arrays."""

    rows: "Rows"
    folder: Path
    """Where rows that are put together may be written."""


@dataclass(frozen=True)
class AdaptationPlan:
    """Unlabelled text that a base is adapted to: the plan of a job of its own, and its rows."""

    plan: Plan
    sides: "tuple[Rows, Rows]"
