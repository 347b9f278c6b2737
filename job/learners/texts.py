"""Models that read texts, or pairs of them, through one graph."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tunewright.job.batches.kept import encode_or_reuse
from tunewright.job.batches.side import Array, Batch, Rows
from tunewright.job.batches.text import EncodedSplit, TextRows, encode
from tunewright.job.export.given import GivenGraph
from tunewright.job.export.graph import ARCHITECTURES, EXPORT_TASK, export_variants, graph_inputs, require_vector
from tunewright.job.kinds.plan import Plan
from tunewright.job.kinds.task import Graph, Inputs, Learner
from tunewright.job.learners.heads import keeps_neighbours, scale_of
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.build import build_classifier
from tunewright.job.model.load import load_config
from tunewright.job.model.tokenizer import choose_length, length_limit, padding_of
from tunewright.job.settings.job import JobSettings
from tunewright.job.train.objective import forward
from tunewright.serving.bundle.model_file import Variant
from tunewright.serving.text.encoding import Encoded, Encoder, Text

TOKENIZER = ("tokenizer.json",)
"""What a base model of texts cannot do without."""


class TextInputs(Inputs):
    """Texts, or pairs of texts, as token ids."""

    needs = TOKENIZER

    def open_encoder(self, settings: JobSettings, base: BaseCheckpoint) -> Encoder:
        """The tokenizer with its limits."""
        return open_encoder(settings, base)

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> Rows:
        """Token ids, kept on disk."""
        part, encoder = plan.prepared.part(side), plan.opened(Encoder)

        def made(folder: Path) -> EncodedSplit:
            return encode(part.data, encoder, part.targets, folder, on_rows=on_rows)

        if plan.encoded is None:
            split = made(folder)
        else:
            asked = {"base": plan.base.digest, "cleaning": encoder.cleaning.model_dump(), "limit": encoder.max_length}
            split = encode_or_reuse(part.data, asked, made, part.targets, plan.encoded)
        return TextRows(split, encoder, tensors(plan))

    def described(self, plan: Plan) -> dict[str, object]:
        """Length, cleaning and padding; whether an input is a pair."""
        return {**described(plan.opened(Encoder)), "pair": len(plan.prepared.roles.inputs) == 2}

    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Text]) -> list[Array]:
        """Logits, one text at a time."""
        return torch_rows(model, plan, plan.opened(Encoder).encode(inputs), tensors_of(model, plan))


class Classifier(Graph):
    """An encoder with a new head of one number per label."""

    architectures = tuple(ARCHITECTURES)

    def build(self, plan: Plan) -> nn.Module:
        """The base, its pooling, and the head."""
        model = build_classifier(plan.base, plan.prepared.labels, plan.settings.train, scale_of(plan))
        if keeps_neighbours(plan):
            require_vector(model, plan.base.address)
        return model

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph a variant."""
        unit, with_vector = scale_of(plan)[1], keeps_neighbours(plan)
        return export_variants(model, EXPORT_TASK, folder, variants, unit=unit, with_vector=with_vector)


TEXT_LEARNER = Learner(TextInputs(), Classifier())


def open_encoder(settings: JobSettings, base: BaseCheckpoint) -> Encoder:
    """The tokenizer of a base model of texts with its limits."""
    config = base.config()
    length = choose_length(settings.train.max_length, length_limit(base.folder, config), base.address)
    padding = padding_of(base.folder, config)
    return Encoder(base.tokenizer, max_length=length, padding=padding, cleaning=settings.data.cleaning)


def described(encoder: Encoder) -> dict[str, object]:
    """What a server must know of any model of texts: fields of `model.json`."""
    return {"max_length": encoder.max_length, "cleaning": encoder.cleaning, "padding": encoder.padding}


def tensors(plan: Plan, export_task: str = EXPORT_TASK) -> list[str]:
    """The tensors that training and the graph take."""
    return graph_inputs(load_config(plan.base), export_task)


def tensors_of(model: nn.Module, plan: Plan, export_task: str = EXPORT_TASK) -> list[str]:
    """The same of a model that may be there as a graph alone, which says itself what it takes."""
    return model.inputs if isinstance(model, GivenGraph) else tensors(plan, export_task)


@torch.no_grad()
def torch_rows(
    model: nn.Module,
    plan: Plan,
    rows: Sequence[Encoded],
    names: Sequence[str],
    through: Callable[[nn.Module, Batch], torch.Tensor] = forward,
) -> list[Array]:
    """Logits of encoded rows, one row at a time. `names`: the tensors; `through`: the model and a batch to logits."""
    outputs = []
    for row in rows:
        arrays = plan.opened(Encoder).pad([row], names)
        batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
        outputs.append(np.asarray(through(model, batch)[0].float().numpy(), dtype=np.float32))
    return outputs
