"""What tasks share whose inputs are files: paths (or bytes) in a table to one vector of logits per file."""

import base64
import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from tunewright.job.batches.side import Array, Batch, Rows
from tunewright.job.data.check import Cells
from tunewright.job.data.columns import Roles
from tunewright.job.data.source import SourceFile
from tunewright.job.errors import BaseModelError
from tunewright.job.export.graph import export_variants
from tunewright.job.kinds.classification import ClassificationTask
from tunewright.job.kinds.task import Plan
from tunewright.job.model.base_model import BaseModel
from tunewright.job.model.build import build_headed
from tunewright.job.settings.job import JobSettings
from tunewright.job.train.objective import Objective
from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.engines.media import Batch as Arrays
from tunewright.serving.engines.media import MediaRow
from tunewright.serving.errors import InputError, TooLarge
from tunewright.serving.text.encoding import Encoder

FILE_TYPE = pa.struct(
    [("path", pa.large_string()), ("bytes", pa.large_binary()), ("sha256", pa.string()), ("size", pa.int64())]
)
"""A file by its path, or its bytes where a table holds them; what identifies it; what a row of it costs."""


@dataclass(frozen=True)
class MediaEncoder:
    """From the bytes of files to the tensors of the model, in training as in serving."""

    options: dict[str, Any]
    """The preprocessing, as `model.json` says it."""
    load: Callable[[Any], MediaRow[Any]]
    collate: Callable[[Sequence[Any]], Arrays]
    texts: Encoder | None = None
    """What reads the texts beside the files, where there are any."""

    def arrays(self, inputs: Sequence[Any]) -> Batch:
        """Tensors `[B, ...]` of inputs as they are served."""
        arrays = self.collate([self.load(one).features for one in inputs])
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


class MediaRows:
    """Files as the training loop reads them: decoded when a batch is put together."""

    def __init__(
        self, inputs: Sequence[Any], sizes: Sequence[int], targets: Any, arrays: Callable[[Sequence[Any]], Batch]
    ) -> None:
        self._inputs, self._targets, self._arrays = inputs, targets, arrays
        self.lengths = np.array(sizes, dtype=np.int64)
        self.truncated = 0

    def __len__(self) -> int:
        return len(self._inputs)

    def batch(self, rows: Sequence[int]) -> Batch:
        """The tensors and targets of these rows."""
        batch = self._arrays([self._inputs[row] for row in rows])
        return {**batch, "targets": torch.from_numpy(self._targets[list(rows)])}


class MediaTask(ClassificationTask):
    """Files to labels."""

    NEEDS: ClassVar[tuple[str, ...]] = ("preprocessor_config.json",)
    EXPORT_TASK: ClassVar[str]
    """What the exporter calls such a graph."""
    AUTO_CLASS: ClassVar[Any]
    """transformers' class of such models with a head."""
    ROOM: ClassVar[int]
    """Sum of the sizes of the rows of a validation batch."""

    @abstractmethod
    def size(self, data: bytes) -> int:
        """What a row of this file costs; InputError when it cannot be read."""

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """A file and its labels."""
        return FILE_TYPE, pa.list_(pa.string())

    def read(self, cells: Cells) -> tuple[Any, Any] | None:
        """A file that decodes, and its labels."""
        file = self.read_file(cells) if cells.has(self.MEDIA) else None
        labels = cells.labels()
        return None if file is None or labels is None else (file, labels)

    def read_file(self, cells: Cells) -> dict[str, Any] | None:
        """A file that decodes; None where a fault was counted."""
        value = cells.value(self.MEDIA)
        # Embedded bytes come as such; everything else was found and fetched by `job.data.media`.
        is_file = isinstance(value, SourceFile)
        if not is_file and not isinstance(value, bytes):
            cells.fault(f"column {cells.column(self.MEDIA)!r} is neither a path nor the bytes of a file", value=value)
            return None
        try:
            size = self.size(value.path.read_bytes() if is_file else value)
        except (InputError, TooLarge) as error:
            named = {"value": value.address} if is_file else {}
            cells.fault(f"column {cells.column(self.MEDIA)!r}: {error}", **named)
            return None
        return {
            "path": str(value.path) if is_file else None,
            "bytes": None if is_file else value,
            "sha256": value.sha256 if is_file else hashlib.sha256(value).hexdigest(),
            "size": size,
        }

    def file(self, value: Any) -> dict[str, Any]:
        """The file of a checked input."""
        return dict(value)

    def identity(self, value: Any) -> str:
        """Equal files."""
        return str(value["sha256"])

    def served(self, value: Any) -> bytes:
        """The bytes of the file."""
        return content(value)

    def request(self, value: Any) -> str:
        """The bytes in base64."""
        return base64.b64encode(content(value)).decode()

    @abstractmethod
    def make_encoder(
        self, config: dict[str, Any], model_type: str, settings: JobSettings, base: BaseModel
    ) -> MediaEncoder:
        """From the content of `preprocessor_config.json`; ValueError says what is not known of it."""

    def open_encoder(self, settings: JobSettings, base: BaseModel) -> MediaEncoder:
        """The preprocessing that the base model was trained with."""
        try:
            return self.make_encoder(base.preprocessing(), str(base.config()["model_type"]), settings, base)
        except ValueError as error:
            raise BaseModelError(f"base model {base.address!r}: {error}") from error

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> Rows:
        """Where the files are: they are decoded in every epoch, as many at a time as a batch has."""
        part = getattr(plan.prepared, side)
        inputs = part.data.inputs()
        on_rows(len(inputs))
        sizes = [self.file(one)["size"] for one in inputs]
        return MediaRows(
            inputs, sizes, part.targets, lambda chosen: plan.encoder.arrays(list(map(self.served, chosen)))
        )

    def build_model(self, plan: Plan) -> nn.Module:
        """The base with a new head."""
        return build_headed(self.AUTO_CLASS, plan.base, plan.prepared.labels, plan.settings.train)

    def objective(self, plan: Plan) -> Objective:
        """As any classification."""
        return replace(super().objective(plan), validation_tokens=self.ROOM, divisible=False)

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph a variant."""
        return export_variants(model, self.EXPORT_TASK, folder, variants)

    def model_file(self, plan: Plan, variants: dict[str, Variant]) -> ModelFile:
        """Labels and preprocessing."""
        return ModelFile(
            format=1,
            task=plan.settings.task,
            problem=plan.prepared.problem,
            labels=plan.prepared.labels,
            options=plan.encoder.options,
            variants=variants,
            default_variant="fp32",
        )

    @torch.no_grad()
    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Any]) -> list[Array]:
        """Logits, one input at a time."""
        alone = (plan.encoder.arrays([self.served(one)]) for one in inputs)
        return [np.asarray(model(**batch)["logits"][0].float().numpy()) for batch in alone]


def content(value: Mapping[str, Any]) -> bytes:
    """The bytes of a checked file."""
    return bytes(value["bytes"]) if value["bytes"] is not None else Path(value["path"]).read_bytes()
