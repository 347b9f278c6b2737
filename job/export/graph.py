"""Torch to ONNX, then to int8; behind this file, so that the exporter can be replaced."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import onnx
import torch
from optimum.exporters.onnx.convert import export as export_onnx
from optimum.exporters.tasks import TasksManager
from torch import nn
from transformers import PretrainedConfig

from tunewright.job.errors import BaseModelError, JobError
from tunewright.serving.bundle.model_file import Variant
from tunewright.serving.golden import TOLERANCE

EXPORT_TASK = "text-classification"
"""What optimum calls a graph from token ids to one row of logits."""
_BATCHING: dict[str, Literal["padded", "alone"]] = {"fp32": "padded", "int8": "alone"}


ARCHITECTURES = """albert bert camembert convbert data2vec-text deberta deberta-v2 distilbert electra megatron-bert
mobilebert modernbert mpnet rembert roberta roformer squeezebert xlm-roberta""".split()
"""Encoders whose graph was compared with torch at lengths it was not traced with. The exporter knows others, but some
of those graphs hold the length they were traced with (big_bird, nystromformer) or want more than token ids."""


def check_exportable(model_type: str, address: str, architectures: Sequence[str]) -> None:
    """BaseModelError, before any training, for an architecture whose graph could not be served."""
    if model_type not in architectures:
        raise BaseModelError(
            f"base model {address!r} is of the architecture {model_type!r}, which cannot be exported to ONNX; "
            f"supported: {', '.join(architectures)}"
        )


def graph_inputs(config: PretrainedConfig, task: str = EXPORT_TASK) -> list[str]:
    """The tensors that the graph of such a model takes; the model is trained on the same ones."""
    return list(_export_config(config, task).inputs)


def _export_config(config: PretrainedConfig, task: str) -> Any:
    constructor = TasksManager.get_exporter_config_constructor(
        exporter="onnx", model_type=config.model_type, task=task, library_name="transformers"
    )
    return constructor(config)


def export_variants(
    model: nn.Module, task: str, folder: Path, variants: Sequence[str], *, unit: float = 1.0
) -> dict[str, Variant]:
    """Write `onnx/<variant>/model.onnx` for each variant; `unit` is the unit of the outputs."""
    made = {name: folder / "onnx" / name / "model.onnx" for name in variants}
    export_fp32(model, made["fp32"], task)
    if "int8" in made:
        quantize_int8(made["fp32"], made["int8"])
    for graph in made.values():
        strip(graph.parent)
    return {name: describe_variant(folder, graph, name, unit=unit) for name, graph in made.items()}


def describe_variant(folder: Path, graph: Path, name: str, *, unit: float = 1.0) -> Variant:
    """What model.json says of a variant: its main graph, and the size of all files beside it."""
    return Variant(
        file=graph.relative_to(folder).as_posix(),
        batching=_BATCHING[name],
        bytes=sum(path.stat().st_size for path in graph.parent.iterdir()),
        golden_tolerance=TOLERANCE[name] * unit,
    )


def export_fp32(model: nn.Module, target: Path, task: str = EXPORT_TASK) -> None:
    """Write the graph of `model` (token ids `[B, T]` to logits) as one float32 ONNX file."""
    config = cast(PretrainedConfig, model.config)
    onnx_config = _export_config(config, task)
    # The exporter takes Whisper's usual window of 30 s where it is not told another one; a position is two frames.
    shapes = {"nb_max_frames": 2 * config.max_source_positions} if config.model_type == "whisper" else None
    target.parent.mkdir(parents=True, exist_ok=True)
    # The tracer warns of every Python number in the architecture's code; parity is what proves the graph.
    with warnings.catch_warnings(), _only_errors("optimum"), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            export_onnx(model, onnx_config, target, opset=onnx_config.DEFAULT_ONNX_OPSET, input_shapes=shapes)
        except Exception as error:  # the exporter raises whatever the architecture's code raises while traced
            raise JobError(f"the ONNX export of a {config.model_type} failed: {error}") from error


def export_traced(model: nn.Module, example: dict[str, torch.Tensor], axes: dict[str, list[str]], target: Path) -> None:
    """Write the graph of a model of our own, traced with an example: inputs by name, their axes that may vary."""
    target.parent.mkdir(parents=True, exist_ok=True)
    dynamic = {name: {at: axis for at, axis in enumerate(names) if axis} for name, names in axes.items()}

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(**dict(zip(example, tensors, strict=True)))["logits"]
            return logits

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Logits().eval(),
            tuple(example.values()),
            str(target),
            input_names=list(example),
            output_names=["logits"],
            dynamic_axes={**dynamic, "logits": {0: "batch"}},
            opset_version=18,
            dynamo=False,
        )


def strip(folder: Path) -> None:
    """Take out of the graphs in a folder what no run needs: the shapes of every value between two nodes, which cost
    int8 files a tenth of their speed, and what tells of the machine that wrote them (stack traces, paths)."""
    for path in sorted(folder.glob("*.onnx")):
        model = onnx.load(path, load_external_data=False)
        for part in (model, *model.functions):
            part.doc_string = ""
            del part.metadata_props[:]
        _strip_graph(model.graph)
        onnx.save(model, path)


def _strip_graph(graph: onnx.GraphProto) -> None:
    graph.doc_string = ""
    del graph.value_info[:], graph.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.doc_string = ""
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ():
                _strip_graph(inner)


def quantize_int8(source: Path, target: Path) -> None:
    """Write the dynamic int8 form: matrix products (signed, one scale per channel) and embeddings (one scale each).

    Unsigned or per-tensor weights lose speed or three times the accuracy, and fusing the graph first makes both
    files slower (docs/concepts/int8.md). Scales of activations are taken per run, so rows must run alone.
    """
    from onnxruntime import quantization  # here, since serving.onnx_runtime comes first

    target.parent.mkdir(parents=True, exist_ok=True)
    # It recommends a preparation of the graph that makes the result slower.
    with _only_errors(None):
        quantization.quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )


@contextmanager
def _only_errors(name: str | None) -> Iterator[None]:
    """Hold back what a logger says below an error; None is the root of all loggers."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
