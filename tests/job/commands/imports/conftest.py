"""Folders with a model that is a graph alone, written by hand in a moment."""

import json
import shutil

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from tokenizers import Tokenizer

from tunewright.job import program
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull

SIZE = 32


@pytest.fixture
def run_import(registry, tmp_path, monkeypatch, capsys):
    """run_import(folder, {"task": ...}, *flags): exit code and errors of an import of a folder."""
    monkeypatch.setenv("REGISTRY_URI", registry.uri)
    monkeypatch.setenv("REGISTRY_CACHE", str(registry.cache))

    def run(folder, given, *flags):
        given = {"output": tmp_path / "runs"} | given
        words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        code = program.main(["import", str(folder), *words, *flags])
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def imported(write_rows, run_import):
    """imported(folder, "single", *flags): exit code and errors of an import of a folder, measured on rows of that
    shape."""

    def run(folder, shape, *flags, task="text-classification"):
        target = {"multi": "labels", "regression": "score"}.get(shape, "label")
        given = {"task": task, "model_name": "tiny", "data.test": write_rows(shape, 0, 60)}
        given |= {"data.columns.text": "text", f"data.columns.{target}": target, "export.explained_rows": 0}
        return run_import(folder, given, *flags)

    return run


@pytest.fixture
def pulled(registry):
    """pulled("tiny") is the folder of a version, every file of it verified."""
    return lambda reference: pull(open_store(registry.uri), reference, cache=registry.cache).folder


@pytest.fixture
def make_graph(tiny_tokenizer, tmp_path):
    """make_graph(["a", "b"]): the folder of a graph with these labels, as optimum writes one. The logits of a token are
    those of its embedding, and those of a text of their mean. `gives`: other outputs by their names, to those of its
    tensors that they are: `vectors` of tokens, `pooled`, `product`, or the first and second number of the last."""

    def make(
        labels, *, per_token=False, place="model.onnx", batch="batch", output="logits", kind=np.float32, gives=None
    ):
        folder = tmp_path / f"graph-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(tiny_tokenizer, folder)
        random, rows = np.random.default_rng(3), Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
        constants = {
            "table": random.normal(size=(rows, SIZE)).astype(kind),
            "head": random.normal(size=(SIZE, max(len(labels), 2))).astype(np.float32),
            "bias": np.zeros(max(len(labels), 2), dtype=np.float32),
            "one": np.array([1], dtype=np.int64),
            "two": np.array([2], dtype=np.int64),
            "first": np.array(0, dtype=np.int64),
            "second": np.array(1, dtype=np.int64),
        }
        node, mean = helper.make_node, [("hidden", "one", "sum"), ("told", "one", "count")]
        nodes = [
            node("Gather", ["table", "input_ids"], ["found"]),
            node("Cast", ["found"], ["vectors"], to=TensorProto.FLOAT),
            node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["mask", "two"], ["told"]),
            node("Mul", ["vectors", "told"], ["hidden"]),
            *(node("ReduceSum", [given, axes], [made], keepdims=0) for given, axes, made in mean),
            node("Div", ["sum", "count"], ["pooled"]),
            node("MatMul", ["hidden" if per_token else "pooled", "head"], ["product"]),
            node("Add", ["product", "bias"], ["scored" if gives else output]),
            *(node("Gather", ["product", one], [f"of {one}"], axis=2) for one in ("first", "second") if per_token),
            *(node("Identity", [tensor], [name]) for name, tensor in (gives or {}).items()),
        ]
        inputs = ("input_ids", "attention_mask")
        graph = helper.make_graph(
            nodes,
            "by hand",
            [helper.make_tensor_value_info(name, TensorProto.INT64, [batch, "tokens"]) for name in inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in gives or [output]],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        (folder / place).parent.mkdir(exist_ok=True)
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), folder / place)
        head = "BertForTokenClassification" if per_token else "BertForSequenceClassification"
        names = {str(number): label for number, label in enumerate(labels)}
        sizes = {"vocab_size": rows, "max_position_embeddings": 64, "hidden_size": SIZE}
        config = {"model_type": "bert", "architectures": [head], "id2label": names, **sizes}
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return make
