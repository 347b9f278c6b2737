"""Models that write, to ONNX: one graph of a decoder, or an encoder's and a decoder's, each with key/value caches."""

import copy
import logging
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import onnx
import torch
from onnx import numpy_helper
from optimum.exporters.onnx.convert import onnx_export_from_model
from optimum.onnx.graph_transformations import merge_decoders
from torch import nn
from transformers import PretrainedConfig

from tunewright.job.errors import JobError
from tunewright.job.export.graph import describe_variant, quantize_int8, strip
from tunewright.serving.bundle.model_file import Variant

_ENCODER, _FIRST, _NEXT, _MERGED = (
    "encoder_model.onnx",
    "decoder_model.onnx",
    "decoder_with_past_model.onnx",
    "decoder_model_merged.onnx",
)
_CAUSAL = "model.onnx"


def export_generation(model: nn.Module, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
    """Write `onnx/<variant>/` of a bundle for each variant."""
    has_encoder = bool(model.config.is_encoder_decoder)  # type: ignore[union-attr]
    main = _MERGED if has_encoder else _CAUSAL
    with tempfile.TemporaryDirectory(dir=folder) as work:
        exported = Path(work) / "fp32"
        _export(model, exported)
        if "int8" in variants:
            _quantize(exported, folder / "onnx" / "int8", has_encoder=has_encoder)
        _move(exported, folder / "onnx" / "fp32", [_ENCODER, _MERGED] if has_encoder else [_CAUSAL])
    for name in variants:
        strip(folder / "onnx" / name)
    return {name: describe_variant(folder, folder / "onnx" / name / main, name) for name in variants}


def _export(model: nn.Module, folder: Path) -> None:
    config = cast(PretrainedConfig, model.config)
    task = "text2text-generation-with-past" if config.is_encoder_decoder else "text-generation-with-past"
    # The exporter warns of every Python number in the architecture's code and of each tied weight.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            # A copy: the exporter leaves a T5 behind that does not run any more.
            onnx_export_from_model(copy.deepcopy(model), output=folder, task=task, do_validation=False)
    except Exception as error:  # the exporter raises whatever the architecture's code raises while traced
        raise JobError(f"the ONNX export of a {config.model_type} failed: {error}") from error
    finally:
        logging.disable(before)


def _quantize(source: Path, target: Path, *, has_encoder: bool) -> None:
    """Each graph by itself; a decoder's two are merged afterwards: the quantizer does not look into branches."""
    if not has_encoder:
        _quantize_untied(source / _CAUSAL, target / _CAUSAL)
        return
    _quantize_untied(source / _ENCODER, target / _ENCODER)
    halves = [source.parent / "int8" / name for name in (_FIRST, _NEXT)]
    for half in halves:
        _quantize_untied(source / half.name, half)
    merge_decoders(*halves, save_path=target / _MERGED, strict=False)


def _quantize_untied(source: Path, target: Path) -> None:
    """Where the last layer is the transposed embeddings, give it weights of its own: others are not quantized."""
    graph = onnx.load(source)
    weights = {one.name: one for one in graph.graph.initializer}
    turned = [node for node in graph.graph.node if node.op_type == "Transpose" and node.input[0] in weights]
    for node in turned:
        order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
        array = numpy_helper.to_array(weights[node.input[0]]).transpose(order)
        graph.graph.initializer.append(numpy_helper.from_array(array.copy(), node.output[0]))
        graph.graph.node.remove(node)
    untied = source.with_name(f"untied_{source.name}")
    onnx.save(graph, untied)
    quantize_int8(untied, target)


def _move(source: Path, target: Path, names: Sequence[str]) -> None:
    """These graphs, and the files in which large ones keep their weights."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        for path in (source / name, source / f"{name}_data"):
            if path.is_file():
                shutil.move(path, target / path.name)
