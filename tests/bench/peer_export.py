"""The peer of `make bench-export`, run in its own environment: ONNX files as commit 2acf30a wrote them, through optimum
and ONNX Runtime's quantizer. Makes the models first where they are absent. Prints the seconds of each export as
JSON."""

import argparse
import json
import logging
import time
import warnings
from pathlib import Path

import onnx
import torch
import transformers
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from optimum.exporters.onnx.convert import export, onnx_export_from_model
from optimum.exporters.tasks import TasksManager


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("minilm", "models", "out"):
        parser.add_argument(name, type=Path)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    make_models(asked.minilm, asked.models)
    seconds = {}
    for name, write in {"minilm": write_encoder, "gpt2": write_decoder}.items():
        started = time.process_time()
        with torch.no_grad():
            write(asked.models / name, asked.out / name / "onnx")
        seconds[name] = time.process_time() - started
    print(json.dumps(seconds))


def make_models(minilm: Path, models: Path) -> None:
    """MiniLM with a new head, and a decoder with the width of GPT-2 and half its layers, with random weights."""
    if not (models / "gpt2" / "config.json").exists():
        torch.manual_seed(0)
        encoder = transformers.AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=2)
        encoder.save_pretrained(models / "minilm")
        decoder = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=6))
        decoder.save_pretrained(models / "gpt2")


def write_encoder(model: Path, target: Path) -> None:
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(model).eval()
    config = TasksManager.get_exporter_config_constructor(
        exporter="onnx", model_type="bert", task="text-classification", library_name="transformers"
    )(loaded.config)
    files = targets(target)
    export(loaded, config, files["fp32"], opset=config.DEFAULT_ONNX_OPSET)
    quantize(files["fp32"], files["int8"])


def write_decoder(model: Path, target: Path) -> None:
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model).eval()
    files = targets(target)
    onnx_export_from_model(loaded, output=target / "fp32", task="text-generation-with-past", do_validation=False)
    untied = target / "untied.onnx"
    untie(files["fp32"], untied)
    quantize(untied, files["int8"])
    untied.unlink()


def targets(folder: Path) -> dict[str, Path]:
    files = {name: folder / name / "model.onnx" for name in ("fp32", "int8")}
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
    return files


def untie(source: Path, target: Path) -> None:
    """Weights of its own for a last layer that is the transposed embeddings: others are not quantized."""
    graph = onnx.load(source)
    weights = {one.name: one for one in graph.graph.initializer}
    for node in [one for one in graph.graph.node if one.op_type == "Transpose" and one.input[0] in weights]:
        order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
        array = numpy_helper.to_array(weights[node.input[0]]).transpose(order)
        graph.graph.initializer.append(numpy_helper.from_array(array.copy(), node.output[0]))
        graph.graph.node.remove(node)
    onnx.save(graph, target)


def quantize(source: Path, target: Path) -> None:
    kinds = {"op_types_to_quantize": ["MatMul", "Gather"], "per_channel": True, "weight_type": QuantType.QInt8}
    quantize_dynamic(source, target, **kinds)


if __name__ == "__main__":
    main()
