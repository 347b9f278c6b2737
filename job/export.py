"""Torch to ONNX, then to int8; behind this file, so that the exporter can be replaced."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime.quantization as ort_quantization
import torch
from optimum.exporters.onnx.convert import export as export_onnx
from optimum.exporters.tasks import TasksManager
from torch import nn

from job.errors import BaseModelError, JobError

EXPORT_TASK = "text-classification"
"""What optimum calls a graph from token ids to one row of logits."""


ARCHITECTURES = """albert bert camembert convbert data2vec-text deberta deberta-v2 distilbert electra megatron-bert
mobilebert modernbert mpnet rembert roberta roformer squeezebert xlm-roberta""".split()
"""Encoders whose graph was compared with torch at lengths it was not traced with. The exporter knows others, but some
of those graphs hold the length they were traced with (big_bird, nystromformer) or want more than token ids."""


def check_exportable(model_type: str, address: str) -> None:
    """BaseModelError, before any training, for an architecture whose graph could not be served."""
    if model_type not in ARCHITECTURES:
        raise BaseModelError(
            f"base model {address!r} is of the architecture {model_type!r}, which cannot be exported to ONNX; "
            f"supported: {', '.join(ARCHITECTURES)}"
        )


def graph_inputs(config: Any) -> list[str]:
    """The tensors that the graph of such a model takes; the model is trained on the same ones."""
    return list(_export_config(config).inputs)


def _export_config(config: Any) -> Any:
    constructor = TasksManager.get_exporter_config_constructor(
        exporter="onnx", model_type=config.model_type, task=EXPORT_TASK, library_name="transformers"
    )
    return constructor(config)


def export_fp32(model: nn.Module, target: Path) -> None:
    """Write the graph of `model` (token ids `[B, T]` to logits `[B, L]`) as one float32 ONNX file."""
    config: Any = model.config
    onnx_config = _export_config(config)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The tracer warns of every Python number in the architecture's code; parity is what proves the graph.
    with warnings.catch_warnings(), _only_errors("optimum"), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            export_onnx(model, onnx_config, target, opset=onnx_config.DEFAULT_ONNX_OPSET)
        except Exception as error:  # the exporter raises whatever the architecture's code raises while traced
            raise JobError(f"the ONNX export of a {config.model_type} failed: {error}") from error


def quantize_int8(source: Path, target: Path) -> None:
    """Write the dynamic int8 form: matrix products (signed, one scale per channel) and embeddings (one scale each).

    Unsigned or per-tensor weights lose speed or three times the accuracy, and fusing the graph first makes both
    files slower (docs/concepts/int8.md). Scales of activations are taken per run, so rows must run alone.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # It recommends a preparation of the graph that makes the result slower.
    with _only_errors(None):
        ort_quantization.quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            weight_type=ort_quantization.QuantType.QInt8,
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
