import logging
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from optimum.exporters.tasks import TasksManager
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification

from tunewright.job.errors import BaseModelError, JobError
from tunewright.job.export.graph import (
    ARCHITECTURES,
    EXPORT_TASK,
    check_exportable,
    export_fp32,
    export_variants,
    graph_inputs,
    quantize_int8,
    strip,
)
from tunewright.job.model.build import build_classifier, build_headed
from tunewright.job.settings.train import TrainSettings
from tunewright.job.tasks import TASKS

# The exporter traces with 2 rows of 16 tokens.
SHAPES = [(1, 1), (1, 2), (2, 17), (3, 40), (2, 60)]


@pytest.fixture
def exported(fetch, make_base, tmp_path):
    """exported(kind, pooling) gives a tiny model, ready to answer, and the path of its graph."""

    def make(kind="bert", pooling="mean"):
        model = build_classifier(fetch(make_base(kind)), ["a", "b", "c"], TrainSettings(pooling=pooling)).eval()
        export_fp32(model, tmp_path / "onnx" / "fp32" / "model.onnx")
        return model, tmp_path / "onnx" / "fp32" / "model.onnx"

    return make


def open_session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def largest_difference(model, path, inputs):
    if "token_type_ids" in graph_inputs(model.config):
        inputs = inputs | {
            "token_type_ids": (torch.arange(inputs["input_ids"].shape[1]) > 3).long().expand_as(inputs["input_ids"])
        }
    with torch.no_grad():
        expected = model(**inputs)["logits"].numpy()
    (answered,) = open_session(path).run(None, {name: values.numpy() for name, values in inputs.items()})
    return np.abs(expected - answered).max()


# The mean is one and the same code over every encoder, so a few kinds of encoders are enough.
MEANS = [(kind, "mean") for kind in ("albert", "bert", "deberta-v2", "distilbert", "modernbert", "roberta")]


@pytest.mark.parametrize(("kind", "pooling"), [*((kind, "native") for kind in ARCHITECTURES), *MEANS])
def test_the_graph_answers_as_torch_at_lengths_it_was_not_traced_with(exported, batch, kind, pooling):
    model, path = exported(kind, pooling)
    assert max(largest_difference(model, path, batch(*shape)) for shape in SHAPES) < 1e-4


HEADS = {
    "token-classification": (AutoModelForTokenClassification, ["O", "B-X", "I-X"]),
    "question-answering": (AutoModelForQuestionAnswering, ["start", "end"]),
}
PER_TOKEN = [(task, kind) for task in HEADS for kind in TASKS[task].graph.architectures]
QUICK = ("bert", "distilbert", "roberta")


@pytest.mark.parametrize(
    ("task", "kind"),
    [pytest.param(*one, marks=() if one[1] in QUICK else pytest.mark.slow) for one in PER_TOKEN],
)
def test_a_graph_with_numbers_per_token_answers_as_torch(fetch, make_base, batch, tmp_path, task, kind):
    auto, labels = HEADS[task]
    model = build_headed(auto, fetch(make_base(kind)), labels, TrainSettings()).eval()
    path = tmp_path / "model.onnx"
    export_fp32(model, path, task)
    names = graph_inputs(model.config, task)
    for shape in SHAPES:
        inputs = batch(*shape)
        if "token_type_ids" in names:
            inputs["token_type_ids"] = (torch.arange(shape[1]) > 3).long().expand_as(inputs["input_ids"])
        with torch.no_grad():
            answered = model(**inputs)
        wanted = ("logits",) if task == "token-classification" else ("start_logits", "end_logits")
        outputs = open_session(path).run(None, {name: inputs[name].numpy() for name in names})
        for name, output in zip(wanted, outputs, strict=True):
            # The numbers of an untrained mobilebert are in the hundreds.
            expected = answered[name].numpy()
            assert np.abs(expected - output).max() < 1e-5 * max(10, np.abs(expected).max())


def test_a_graph_takes_what_the_model_is_trained_on(exported):
    model, path = exported()
    assert [node.name for node in open_session(path).get_inputs()] == graph_inputs(model.config)


def test_a_graph_is_one_file_that_needs_no_other(exported):
    _, path = exported()
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]


def test_all_that_is_said_to_be_exportable_is_known_to_the_exporter():
    known = TasksManager.get_supported_model_type_for_task(EXPORT_TASK, exporter="onnx")
    assert set(ARCHITECTURES) <= set(known)


@pytest.mark.parametrize("kind", ["funnel", "gpt2", "big_bird", "layoutlm"])
def test_an_architecture_that_cannot_be_served_is_refused_with_those_that_can(kind):
    with pytest.raises(BaseModelError) as caught:
        check_exportable(kind, "org/model", ARCHITECTURES)
    assert str(caught.value) == (
        f"base model 'org/model' is of the architecture '{kind}', which cannot be exported to ONNX; "
        f"supported: {', '.join(ARCHITECTURES)}"
    )


def test_an_export_that_fails_is_one_sentence(exported, tmp_path):
    model, _ = exported()
    model.classifier = torch.nn.Linear(7, 3)
    with pytest.raises(JobError, match=r"^the ONNX export of a bert failed: "):
        export_fp32(model, tmp_path / "other.onnx")


def test_int8_is_smaller_and_quantizes_products_and_embeddings_per_channel(exported, tmp_path):
    _, fp32 = exported()
    quantize_int8(fp32, tmp_path / "int8" / "model.onnx")
    graph = onnx.load(tmp_path / "int8" / "model.onnx").graph
    kinds = {node.op_type for node in graph.node}
    scales = [one for one in graph.initializer if one.name.endswith("_scale") and "MatMul" in one.name]
    assert (tmp_path / "int8" / "model.onnx").stat().st_size < 0.6 * fp32.stat().st_size
    assert "MatMulInteger" in kinds
    assert all(
        one.data_type == onnx.TensorProto.INT8
        for one in graph.initializer
        if "MatMul_" in one.name and "_quantized" in one.name
    )
    assert "bert.embeddings.word_embeddings.weight_quantized" in {one.name for one in graph.initializer}
    assert {one.dims[0] for one in scales} == {32, 64}


def test_int8_answers_nearly_as_fp32(exported, tmp_path, batch):
    model, fp32 = exported()
    quantize_int8(fp32, tmp_path / "int8.onnx")
    assert 0 < largest_difference(model, tmp_path / "int8.onnx", batch(1, 9)) < 0.5


def test_the_logs_of_others_are_left_as_they_were(exported, tmp_path):
    before = logging.getLogger().level, logging.getLogger("optimum").level
    _, fp32 = exported()
    quantize_int8(fp32, tmp_path / "int8.onnx")
    assert (logging.getLogger().level, logging.getLogger("optimum").level) == before


def subgraphs(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from subgraphs(inner)


def test_no_graph_holds_what_no_run_needs(fetch, make_base, tmp_path):
    model = build_classifier(fetch(make_base("bert")), ["a", "b"], TrainSettings()).eval()
    export_variants(model, EXPORT_TASK, tmp_path, ["fp32", "int8"])
    for path in tmp_path.rglob("*.onnx"):
        loaded = onnx.load(path)
        assert not loaded.doc_string
        assert not loaded.metadata_props
        for graph in subgraphs(loaded.graph):
            assert not graph.value_info
            assert not any(node.doc_string or node.metadata_props for node in graph.node)
        told = path.read_bytes()
        assert not [word for word in (b"site-packages", b".py", str(tmp_path).encode(), b"/home/") if word in told]


def test_a_graph_answers_the_same_without_it(exported, batch, tmp_path):
    _, path = exported()
    loaded = onnx.load(path)
    loaded.doc_string = loaded.graph.node[0].doc_string = "/home/somebody/model.py"
    loaded.graph.value_info.append(onnx.helper.make_tensor_value_info("nobody", 1, [1]))
    onnx.save(loaded, path)
    inputs = {name: values.numpy() for name, values in batch(2, 17).items()}
    inputs["token_type_ids"] = np.zeros_like(inputs["input_ids"])
    before = open_session(path).run(None, inputs)
    strip(path.parent)
    assert b"somebody" not in path.read_bytes()
    assert np.array_equal(open_session(path).run(None, inputs)[0], before[0])


_EXPORT = """
import hashlib, sys
from pathlib import Path
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.export.graph import EXPORT_TASK, export_variants
from tunewright.job.model.build import build_classifier
from tunewright.job.settings.train import TrainSettings
from tunewright.registry.settings import RegistrySettings
import torch
base, folder = sys.argv[1], Path(sys.argv[2])
torch.manual_seed(0)
model = build_classifier(fetch_base_model(base, RegistrySettings(cache=folder)), ["a", "b"], TrainSettings()).eval()
export_variants(model, EXPORT_TASK, folder, ["fp32", "int8"])
for path in sorted(folder.rglob("*.onnx")):
    print(path.relative_to(folder), hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.mark.slow
def test_equal_weights_give_equal_files_in_two_processes(tiny_base, tmp_path):
    told = []
    for name in ("one", "two/deeper"):
        (tmp_path / name).mkdir(parents=True)
        command = [sys.executable, "-c", _EXPORT, str(tiny_base), str(tmp_path / name)]
        told.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(told[0].splitlines()) == 2
    assert told[0] == told[1]
