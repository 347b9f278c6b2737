"""Encoders that give a vector: taught such that the cosine of two vectors follows a score, or served as they are.

Axes: B texts of a batch, T tokens of a text, D numbers of a vector.
"""

import json
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as functional
from torch import nn
from transformers import PretrainedConfig

from tunewright.job.batches.side import Array, Batch, Rows, Targets
from tunewright.job.batches.text import EncodedSplit, SplitWriter, TextRows, encoded
from tunewright.job.errors import BaseModelError
from tunewright.job.export.given import GivenGraph, answers_of
from tunewright.job.export.graph import ARCHITECTURES, EXPORT_TASK, export_variants
from tunewright.job.kinds.options import EmbeddingOptions, Pooling
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Graph, Inputs, Learner
from tunewright.job.learners import texts
from tunewright.job.measure.cosines import cosine_range, ends
from tunewright.job.measure.evaluation import Evaluation, evaluated, gathered, logits_of, time_alone
from tunewright.job.measure.metric import figures
from tunewright.job.measure.rows.answers import NumberAnswers
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.build import build_encoder
from tunewright.job.model.load import load_config
from tunewright.job.progress.events import say
from tunewright.job.settings.job import JobSettings
from tunewright.job.train.objective import Loss, Objective, Scored, forward
from tunewright.serving.bundle.model_file import Variant
from tunewright.serving.predictor import Predictor
from tunewright.serving.runtime.scores import normalized
from tunewright.serving.text.encoding import Encoder

_VECTOR = {"mean": "the mean over its tokens", "cls": "that of its first token"}
_COMPARED = 1000
"""Test texts whose vectors are compared with those of torch."""


class PooledEncoder(nn.Module):
    """An encoder and the pooling of its tokens. Its weights carry the names transformers gives them (`bert.*`)."""

    def __init__(self, encoder: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        config = cast(PretrainedConfig, encoder.config)
        config.tunewright_pooling = pooling
        self.config, self.pooling = config, pooling
        self.base_model_prefix: str = encoder.base_model_prefix  # type: ignore[assignment]
        self.add_module(self.base_model_prefix, encoder)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Token ids `[B, T]` to vectors `[B, D]`, which the exporter knows as logits."""
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        encoder = getattr(self, self.base_model_prefix)
        hidden_BTD = encoder(input_ids=input_ids, attention_mask=attention_mask, **segments).last_hidden_state
        if self.pooling == "cls":
            return {"logits": hidden_BTD[:, 0]}
        mask_BT1 = attention_mask.unsqueeze(-1).to(hidden_BTD.dtype)
        return {"logits": (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1).clamp(min=1)}


class VectorInputs(Inputs):
    """Texts as token ids; of a pair both texts in rows of their own."""

    needs = texts.TOKENIZER

    def open_encoder(self, settings: JobSettings, base: BaseCheckpoint) -> Encoder:
        """The tokenizer with its limits; BaseModelError for a base whose vectors are made in another way."""
        if base.graph is None:
            refuse_more_modules(base)
        return texts.open_encoder(settings, base)

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> Rows:
        """Token ids; of a pair both texts one after the other."""
        if len(plan.prepared.roles.inputs) == 1:
            return texts.TextInputs().encode(plan, side, folder, on_rows)
        part = plan.prepared.part(side)
        writer = SplitWriter(folder)
        for pairs, _ in part.data.batches():
            for row in encoded(plan.opened(Encoder), [text for pair in pairs for text in pair]):
                writer.add(row)
            on_rows(len(pairs))
        return TextPairs(writer.close(part.targets), plan.opened(Encoder), texts.tensors(plan))

    def described(self, plan: Plan) -> dict[str, object]:
        """The size of a vector. A request holds single texts, also where pairs were taught."""
        described = {"dimensions": _dimensions(plan.base), "normalize": _options(plan).normalize}
        return {**texts.described(plan.opened(Encoder)), "options": described}

    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[object]) -> list[Array]:
        """Vectors as they come from the pooling, one text at a time."""
        served = plan.prepared.task.columns.served
        rows = plan.opened(Encoder).encode([served(value) for value in inputs])
        return texts.torch_rows(model, plan, rows, texts.tensors_of(model, plan))


class VectorGraph(Graph):
    """An encoder and the pooling of its tokens."""

    architectures = tuple(ARCHITECTURES)

    def build(self, plan: Plan) -> nn.Module:
        """The encoder and its pooling; frozen where there is nothing to learn."""
        say_pooling(_pooling(plan), plan.base)
        return _model(plan)

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph a variant."""
        return export_variants(model, EXPORT_TASK, folder, variants)


VECTOR_LEARNER = Learner(VectorInputs(), VectorGraph())


def objective(plan: Plan, idle: str) -> Objective:
    """Squared distance between the cosine of two texts and their score. `idle`: why nothing is trained."""
    _pooling(plan)
    headline = plan.prepared.task.headline(plan.prepared.problem)
    if idle:
        return Objective(functional.mse_loss, lambda scored: {}, headline, idle=idle)

    def measure(scored: Scored) -> dict[str, float]:
        cosine_N1, truths = gathered(scored)
        return figures(plan.prepared.metric_names, "similarity", truths, cosine_N1[:, 0])

    return Objective(
        loss=make_loss(plan.prepared.train.targets[:]),
        measure=measure,
        metric=plan.settings.train.metric or headline,
        forward=cosines,
    )


def similarity(predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
    """How well the cosines of the vectors of a file follow the scores."""
    first, second = (normalized(logits_of(predictor, part.data, itemgetter(at))) for at in (0, 1))
    cosine_N = (first * second).sum(axis=-1)
    targets = np.asarray(part.targets)
    return evaluated(
        lambda rows: figures(plan.prepared.metric_names, "similarity", targets[rows], cosine_N[rows]),
        len(part),
        headline="spearman",
        ms_per_text=time_alone(predictor, part.data, plan.prepared.task.columns.served),
        answers=NumberAnswers(targets.astype(np.float32), _as_scores(cosine_N, plan)),
    )


def _as_scores(cosine_N: Array, plan: Plan) -> Array:
    """Cosines in the unit of the scores that they stand for."""
    (low, high), (least, most) = (of(plan.prepared.train.targets[:]) for of in (cosine_range, ends))
    return np.asarray(least + (cosine_N - low) / (high - low) * (most - least), dtype=np.float32)


def fidelity(predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
    """Cosines between a file's vectors and those that torch makes of the same weights."""
    task = plan.prepared.task
    places = np.unique(np.linspace(0, len(part) - 1, min(len(part), _COMPARED)).astype(int))
    inputs = part.data.select(places).inputs()
    expected = normalized(np.stack(task.inputs.torch_outputs(_model(plan).eval(), plan, inputs)))
    cosine_N = (expected * normalized(np.stack(predictor.outputs(inputs)))).sum(axis=-1)
    return evaluated(
        lambda rows: {"fidelity": float(cosine_N[rows].mean())},
        len(inputs),
        headline="fidelity",
        ms_per_text=time_alone(predictor, part.data, task.columns.served),
    )


class TextPairs(TextRows):
    """Pairs of texts as the training loop reads them: the B first texts, then the B second ones, `[2B, T]`."""

    def __init__(self, split: EncodedSplit, encoder: Encoder, inputs: Sequence[str]) -> None:
        """`split`: the first and the second text of each pair, one after the other."""
        super().__init__(split, encoder, inputs)
        self.lengths = split.lengths.reshape(-1, 2).max(axis=1)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Token ids of both texts of these pairs, and one target for each pair."""
        return super().batch([2 * row + at for at in (0, 1) for row in rows])

    def _targets(self, rows: Sequence[int]) -> Targets:
        return super()._targets([row // 2 for row in rows[: len(rows) // 2]])


def cosines(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Cosine of the first and the second text of each pair, `[B, 1]`."""
    first_BD, second_BD = forward(model, batch).chunk(2)
    return functional.cosine_similarity(first_BD, second_BD)[:, None]


def make_loss(targets: Targets) -> Loss:
    """Squared distance of a cosine and its score; the scores of the training rows span the cosines."""
    (least, most), (low, high) = ends(targets), cosine_range(targets)
    factor = (high - low) / ((most - least) or 1.0)

    def loss(cosine_B1: torch.Tensor, score_B: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(cosine_B1[:, 0], (score_B - least) * factor + low)

    return loss


def _options(plan: Plan) -> EmbeddingOptions:
    return cast(EmbeddingOptions, plan.prepared.options)


def _dimensions(base: BaseCheckpoint) -> int:
    """Numbers of a vector, which a graph may have made of other ones."""
    if base.graph:
        return answers_of(base).labels
    return int(load_config(base).hidden_size)


def _model(plan: Plan) -> nn.Module:
    if plan.base.graph:
        return GivenGraph(plan.base.graph)
    model = PooledEncoder(build_encoder(plan.base, plan.settings.train), _pooling(plan))
    return model.requires_grad_(not plan.prepared.task.objective(plan).idle)


def _pooling(plan: Plan) -> Pooling:
    return pooling_of(_options(plan), plan.base)


def say_pooling(pooling: Pooling, base: BaseCheckpoint) -> None:
    """Say what is the vector of a text, and where nobody has said so before."""
    said = "" if base.pooling in _VECTOR else " (the base model does not say what it was pretrained with)"
    say("model", f"the vector of a text is {_VECTOR[pooling]}{said}")


def pooling_of(options: EmbeddingOptions, base: BaseCheckpoint) -> Pooling:
    """As asked for, as the base was pretrained, else the mean; BaseModelError for a base pooled in another way."""
    asked = options.pooling
    if asked != "auto":
        return asked
    if base.pooling not in (*_VECTOR, "", "native"):
        raise BaseModelError(
            f"base model {base.address!r} was pretrained with the pooling {base.pooling!r}, which is not supported; "
            "set options.pooling to mean or cls to use it with another one"
        )
    return "cls" if base.pooling == "cls" else "mean"


def refuse_more_modules(base: BaseCheckpoint) -> None:
    """BaseModelError for a base model of sentence-transformers with layers after its pooling, which would silently be
    missing."""
    try:
        modules = json.loads((base.folder / "modules.json").read_text())
        kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for kind in kinds:
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise BaseModelError(
                f"base model {base.address!r} has a module {kind!r} (modules.json), which is not supported: without "
                "it, its vectors are not those it was trained for"
            )
