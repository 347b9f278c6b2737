"""What all tasks share whose model reads texts through one graph."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from tunewright.job.batches.side import Array, Rows
from tunewright.job.batches.text import EncodedSplit, TextRows, encode
from tunewright.job.data.columns import Roles
from tunewright.job.export.graph import ARCHITECTURES, EXPORT_TASK, export_variants, graph_inputs
from tunewright.job.kinds.task import Plan, Task
from tunewright.job.model.base_model import BaseModel
from tunewright.job.model.build import build_classifier, load_config
from tunewright.job.model.tokenizer import choose_length, length_limit, padding_of
from tunewright.job.settings.job import JobSettings
from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.text.encoding import Encoded, Encoder


class TextTask(Task):
    """Texts, or pairs of texts, to numbers."""

    EXPORT_TASK = EXPORT_TASK
    """What the exporter calls such a graph."""

    def text_type(self, roles: Roles) -> pa.DataType:
        """Arrow type of one text or of several."""
        return pa.large_string() if len(roles.inputs) == 1 else pa.list_(pa.large_string())

    def open_encoder(self, settings: JobSettings, base: BaseModel) -> Encoder:
        """The tokenizer with its limits."""
        config = base.config()
        length = choose_length(settings.train.max_length, length_limit(base.folder, config), base.address)
        padding = padding_of(base.folder, config)
        return Encoder(base.tokenizer, max_length=length, padding=padding, cleaning=settings.data.cleaning)

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> Rows:
        """Token ids, kept on disk."""
        part = getattr(plan.prepared, side)
        split: EncodedSplit = encode(part.data, plan.encoder, part.targets, folder, on_rows=on_rows)
        return TextRows(split, plan.encoder, self.graph_inputs(plan))

    def graph_inputs(self, plan: Plan) -> list[str]:
        """The tensors that training and the graph take."""
        return graph_inputs(load_config(plan.base), self.EXPORT_TASK)

    def architectures(self) -> Sequence[str]:
        """Encoders."""
        return ARCHITECTURES

    def build_model(self, plan: Plan) -> nn.Module:
        """An encoder with a new head of one number per label."""
        scale = self.objective(plan).scale
        return build_classifier(plan.base, plan.prepared.labels, plan.settings.train, scale)

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph a variant."""
        _, unit = self.objective(plan).scale
        return export_variants(model, self.EXPORT_TASK, folder, variants, unit=unit)

    def model_file(self, plan: Plan, variants: dict[str, Variant]) -> ModelFile:
        """Labels, length and padding."""
        encoder: Encoder = plan.encoder
        return ModelFile(
            format=1,
            task=plan.settings.task,
            problem=plan.prepared.problem,
            labels=plan.prepared.labels,
            pair=len(plan.prepared.roles.inputs) == 2,
            max_length=encoder.max_length,
            cleaning=encoder.cleaning,
            padding=encoder.padding,
            variants=variants,
            default_variant="fp32",
        )

    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Any]) -> list[Array]:
        """Logits, one text at a time."""
        return self.torch_rows(model, plan, plan.encoder.encode(inputs))

    @torch.no_grad()
    def torch_rows(self, model: nn.Module, plan: Plan, rows: Sequence[Encoded]) -> list[Array]:
        """Logits of encoded rows, one row at a time."""
        names, through, outputs = self.graph_inputs(plan), self.objective(plan).forward, []
        for row in rows:
            arrays = plan.encoder.pad([row], names)
            batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
            outputs.append(np.asarray(through(model, batch)[0].float().numpy(), dtype=np.float32))
        return outputs
