"""What a module in this folder must bring.

Axes: N rows, L labels (1 for regression).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from job.settings import DataSettings, TrainSettings

Array = NDArray[np.float32]
Targets = NDArray[Any]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Task(Protocol):
    """From a row of data to a target, from targets to a loss, from logits to figures."""

    @property
    def TEXTS(self) -> tuple[str, ...]:
        """Roles of the columns that hold text; the second is optional and makes pairs."""

    @property
    def TARGETS(self) -> tuple[str, ...]:
        """Roles of which exactly one names the column to learn."""

    @property
    def TARGET_TYPE(self) -> pa.DataType:
        """Arrow type of a checked target."""

    def problem(self, target_role: str) -> str:
        """`single_label`, `multi_label` or `regression`."""

    def headline(self, problem: str) -> str:
        """The metric that decides when none is named."""

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """The figures that `metrics` returns."""

    def read_target(self, value: Any, role: str, settings: DataSettings) -> Any:
        """A checked target of type TARGET_TYPE; ValueError says what is wrong with the value."""

    def strata(self, target: Any) -> list[str]:
        """The labels that a split keeps in proportion."""

    def learn_labels(self, targets: Sequence[Any], role: str) -> list[str]:
        """The labels in the order of the logits. DataError when there is nothing to learn."""

    def encode_targets(self, targets: Sequence[Any], labels: Sequence[str], problem: str) -> Targets:
        """Targets as the loss wants them: `[N]` label numbers, `[N, L]` zeros and ones, or `[N]` numbers."""

    def make_loss(self, settings: TrainSettings, labels: Sequence[str], targets: Targets, problem: str) -> Loss:
        """A loss over logits `[N, L]` and targets, with the weights the settings ask for."""

    def output_scale(self, targets: Targets) -> tuple[float, float]:
        """Offset and factor from what the last layer learns to the unit of the data; (0, 1) where they are the same."""

    def tune_thresholds(self, logits: Array, targets: Targets, problem: str) -> list[float] | None:
        """Decision thresholds from validation logits, where the problem has any."""

    def metrics(
        self, logits: Array, targets: Targets, problem: str, thresholds: Sequence[float] | None = None
    ) -> dict[str, float]:
        """Figures of the quality of the logits, each better when higher unless its name says error."""

    def details(
        self, logits: Array, targets: Targets, labels: Sequence[str], thresholds: Sequence[float] | None = None
    ) -> list[Mapping[str, Any]]:
        """One row per label (or none) for the report."""
