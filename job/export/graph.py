"""Models that answer at once, to ONNX and then to int8: which tensors their graph takes, and which axes may vary."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import nn
from transformers import PretrainedConfig

from tunewright.job.errors import BaseModelError
from tunewright.job.export.given import GivenGraph
from tunewright.job.export.int8 import quantize_int8
from tunewright.job.export.trace import Axes, Tracer, by_transformers, to_onnx
from tunewright.job.model.classifiers import vectors_seen
from tunewright.serving.bundle.model_file import Variant
from tunewright.serving.engines.engine import VECTOR
from tunewright.serving.golden import TOLERANCE

EXPORT_TASK = "text-classification"
"""The task of a graph from token ids to one row of logits."""


ARCHITECTURES = """albert bert camembert convbert data2vec-text deberta deberta-v2 distilbert electra eurobert
megatron-bert mobilebert modernbert mpnet nomic_bert rembert roberta roformer squeezebert xlm-roberta""".split()
"""Encoders whose graph was compared with torch at lengths it was not traced with."""
_SEGMENTS = frozenset(
    "albert bert convbert electra megatron-bert mobilebert nomic_bert rembert roformer squeezebert".split()
)
"""Encoders whose graph is told which of two texts a token belongs to."""
_ROWS: Axes = {0: "batch", 1: "tokens"}
_IMAGES: Axes = {0: "batch", 2: "height", 3: "width"}
_ANY_SIZE = ("convnext", "resnet")
"""Networks of convolutions alone, which take images of any size; others take those they are traced with."""


def check_exportable(model_type: str, address: str, architectures: Sequence[str]) -> None:
    """BaseModelError, before any training, for an architecture whose graph could not be served."""
    if model_type not in architectures:
        raise BaseModelError(
            f"base model {address!r} is of the architecture {model_type!r}, which cannot be exported to ONNX; "
            f"supported: {', '.join(architectures)}"
        )


def graph_inputs(config: PretrainedConfig, task: str = EXPORT_TASK) -> list[str]:
    """The tensors that the graph of such a model takes; the model is trained on the same ones."""
    if task == "image-classification":
        return ["pixel_values"]
    if task == "audio-classification":
        return ["input_features" if config.model_type == "whisper" else "input_values"]
    kind = config.model_type
    # DeBERTa has segments where it was pretrained with them.
    segments = kind in _SEGMENTS or (kind in ("deberta", "deberta-v2") and config.type_vocab_size > 0)
    return ["input_ids", "attention_mask", *(["token_type_ids"] if segments else [])]


def require_vector(model: nn.Module, address: str) -> None:
    """BaseModelError, before any training, for a model of texts that does not make its logits of one vector a text."""
    config = cast(PretrainedConfig, model.config)
    with torch.no_grad(), vectors_seen(model) as seen:
        model(**_example(config, EXPORT_TASK)[0])
    if seen[-1].ndim != 2:
        raise BaseModelError(
            f"base model {address!r} is of the architecture {config.model_type!r}, which makes logits of every token, "
            "and export.neighbours compares one vector a text; set train.pooling: mean, or export.neighbours: 0"
        )


def export_variants(
    model: nn.Module,
    task: str,
    folder: Path,
    variants: Sequence[str],
    *,
    unit: float = 1.0,
    rows: dict[str, torch.Tensor] | None = None,
    with_vector: bool = False,
) -> dict[str, Variant]:
    """Write `onnx/<variant>/model.onnx` for each variant; `unit` is the unit of the outputs, `rows` two real ones.

    `with_vector`: the graphs also hand out the vectors of which they make their logits. A graph that was given is taken
    as it is, and has no int8 where none can be made of it.
    """
    made = {name: folder / "onnx" / name / "model.onnx" for name in variants}
    if isinstance(model, GivenGraph):
        model.write(made["fp32"])
        if "int8" in made and not model.write_int8(made["int8"]):
            del made["int8"]
        return {name: describe_variant(folder, graph, name, unit=unit) for name, graph in made.items()}
    export_fp32(model, made["fp32"], task, rows=rows, with_vector=with_vector)
    if "int8" in made:
        quantize_int8(made["fp32"], made["int8"])
    return {name: describe_variant(folder, graph, name, unit=unit) for name, graph in made.items()}


def describe_variant(folder: Path, graph: Path, name: str, *, unit: float = 1.0) -> Variant:
    """What model.json says of a variant: its main graph, and the size of all files beside it."""
    return Variant(
        file=graph.relative_to(folder).as_posix(),
        batching="padded",
        bytes=sum(path.stat().st_size for path in graph.parent.iterdir()),
        golden_tolerance=TOLERANCE[name] * unit,
    )


def export_fp32(
    model: nn.Module,
    target: Path,
    task: str = EXPORT_TASK,
    *,
    rows: dict[str, torch.Tensor] | None = None,
    with_vector: bool = False,
    through: Tracer = by_transformers,
) -> None:
    """Write the graph of `model` (token ids `[B, T]` to logits) as one float32 ONNX file.

    `rows`: two of them to trace with, where the model's configuration does not say of which size all of them are.
    """
    example, axes = _example(cast(PretrainedConfig, model.config), task)
    names = ("start_logits", "end_logits") if task == "question-answering" else ("logits",)
    answering = _WithVector(model, names) if with_vector else _Outputs(model, names)
    to_onnx(answering, rows or example, axes, target, through=through)


def export_traced(model: nn.Module, example: dict[str, torch.Tensor], axes: dict[str, list[str]], target: Path) -> None:
    """Write the graph of a model of our own, traced with an example: inputs by name, their axes that may vary."""
    varying = {name: {at: axis for at, axis in enumerate(names) if axis} for name, names in axes.items()}
    to_onnx(_Outputs(model, ("logits",)), example, varying, target)


class _Outputs(nn.Module):
    """Only these outputs of a model, under their names."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names, self.config = model, names, model.config

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """The model's inputs to its outputs."""
        answered = self.model(**inputs)
        return {name: answered[name] for name in self.names}


class _WithVector(_Outputs):
    """The same, and the vectors of which the logits are made."""

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """The model's inputs to its outputs and the vectors `[B, D]`."""
        with vectors_seen(self.model) as seen:
            outputs = super().forward(**inputs)
        return {**outputs, VECTOR: seen[-1]}


def _example(config: PretrainedConfig, task: str) -> tuple[dict[str, torch.Tensor], Mapping[str, Axes]]:
    """Two rows to trace with, and which of their axes may vary."""
    (*_, name) = names = graph_inputs(config, task)
    if task == "image-classification":
        size = getattr(config, "image_size", None) or 64
        height, width = (size, size) if isinstance(size, int) else size
        axes = _IMAGES if config.model_type in _ANY_SIZE else {0: "batch"}
        return {name: torch.zeros(2, config.num_channels, height, width)}, {name: axes}
    if task == "audio-classification":
        shape, axes = _recording(config)
        return {name: torch.zeros(shape)}, {name: axes}
    ids = torch.arange(32).reshape(2, 16) % config.vocab_size
    rows = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    return {one: rows[one] for one in names}, dict.fromkeys(names, _ROWS)


def _recording(config: PretrainedConfig) -> tuple[tuple[int, ...], Axes]:
    """Samples of any length, or a spectrogram of the model's own length; of Whisper's, a position is two frames."""
    if config.model_type == "whisper":
        return (2, config.num_mel_bins, 2 * config.max_source_positions), {0: "batch"}
    if config.model_type == "audio-spectrogram-transformer":
        return (2, config.max_length, config.num_mel_bins), {0: "batch"}
    return (2, 16_000), {0: "batch", 1: "samples"}
