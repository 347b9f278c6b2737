import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from transformers import PretrainedConfig

from tunewright.job.errors import JobError
from tunewright.job.export.graph import EXPORT_TASK, export_fp32, export_variants
from tunewright.job.export.trace import OPSET, by_torch, strip, to_onnx


def subgraphs(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from subgraphs(inner)


def shapes(values):
    return {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim] for value in values
    }


def test_a_graph_names_its_tensors_and_the_axes_that_vary(exported):
    graph = onnx.load(exported().path).graph
    names = ("input_ids", "attention_mask", "token_type_ids")
    assert shapes(graph.input) == {name: ["batch", "tokens"] for name in names}
    assert shapes(graph.output) == {"logits": ["batch", 3]}


def test_a_graph_is_of_operators_that_onnx_runtime_fuses(exported):
    model = onnx.load(exported().path)
    kinds = {node.op_type for node in model.graph.node}
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
    assert {"Gelu", "LayerNormalization", "Softmax"} <= kinds
    assert not model.functions


@pytest.mark.slow
def test_no_graph_holds_what_no_run_needs(build_tiny, tmp_path):
    export_variants(build_tiny(), EXPORT_TASK, tmp_path, ["fp32", "int8"])
    for path in tmp_path.rglob("*.onnx"):
        loaded = onnx.load(path)
        assert not loaded.doc_string
        assert not loaded.metadata_props
        for graph in subgraphs(loaded.graph):
            assert not graph.value_info
            assert not any(node.doc_string or node.metadata_props for node in graph.node)
            assert not any(value.metadata_props for value in (*graph.input, *graph.output))
        told = path.read_bytes()
        assert not [word for word in (b"site-packages", b".py", str(tmp_path).encode(), b"/home/") if word in told]


def test_a_graph_answers_the_same_without_it(exported, open_session, batch, tmp_path):
    loaded, path = onnx.load(exported().path), tmp_path / "model.onnx"
    loaded.doc_string = loaded.graph.node[0].doc_string = "/home/somebody/model.py"
    loaded.graph.value_info.append(onnx.helper.make_tensor_value_info("nobody", 1, [1]))
    onnx.save(loaded, path)
    inputs = {name: values.numpy() for name, values in batch(2, 17).items()}
    inputs["token_type_ids"] = np.zeros_like(inputs["input_ids"])
    before = open_session(path).run(None, inputs)
    strip(path)
    assert b"somebody" not in path.read_bytes()
    assert np.array_equal(open_session(path).run(None, inputs)[0], before[0])


class Own(torch.nn.Module):
    """One matrix over the sum of the rows."""

    def __init__(self):
        super().__init__()
        self.config = PretrainedConfig()
        self.linear = torch.nn.Linear(32, 4)

    def forward(self, numbers, more):
        return {"first": self.linear(numbers) + sum(more), "second": numbers}


ROWS = torch.arange(96.0).reshape(3, 32)
EXAMPLE = {"numbers": ROWS, "more": [torch.ones(3, 4), torch.zeros(3, 4)]}
AXES = {"numbers": {0: "rows"}, "more": {0: "rows"}}


def run(session, rows):
    return session.run(
        None, {"a": rows.numpy(), "b": torch.ones(len(rows), 4).numpy(), "c": np.zeros((len(rows), 4), "f")}
    )


@pytest.mark.parametrize("inline", [10**6, 100])
def test_weights_that_one_file_cannot_hold_lie_beside_it(tmp_path, open_session, inline):
    model, path = Own(), tmp_path / "sub/model.onnx"
    to_onnx(model, EXAMPLE, AXES, path, names=["a", "b", "c"], inline=inline)
    assert {file.name for file in path.parent.iterdir()} == {"model.onnx"} | (
        {"model.onnx_data"} if inline < 512 else set()
    )
    first, second = run(open_session(path), ROWS[:2])
    assert np.abs(first - (model.linear(ROWS[:2]) + 1).detach().numpy()).max() < 1e-4
    assert np.array_equal(second, ROWS[:2])


def test_an_axis_that_the_code_fixes_is_refused_rather_than_fixed_without_a_word(tmp_path):
    class Fixed(Own):
        def forward(self, numbers, more):
            return {"first": numbers.reshape(3, 32)}

    with pytest.raises(JobError, match=r"^the ONNX export of a  failed: [^\n]+$"):
        to_onnx(Fixed(), EXAMPLE, AXES, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_traced_is_left_as_it_was(exported):
    one = exported()
    assert one.after == one.before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("bert", "native"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("bert", "mean"), ("modernbert", "native"))),
    ],
)
def test_torch_s_own_exporter_takes_the_place_of_that_of_transformers(
    exported, open_session, batch, tmp_path, kind, pooling
):
    """The experimental class is one call: the same wrappers, traced by torch alone, give a graph that answers alike."""
    one = exported(kind, pooling=pooling)
    export_fp32(one.model, tmp_path / "model.onnx", through=by_torch)
    ours, theirs = open_session(one.path), open_session(tmp_path / "model.onnx")
    assert [node.name for node in theirs.get_inputs()] == [node.name for node in ours.get_inputs()]
    for shape in ((1, 1), (3, 40)):
        inputs = {name: values.numpy() for name, values in batch(*shape).items()}
        if kind == "bert":
            inputs["token_type_ids"] = np.zeros_like(inputs["input_ids"])
        assert np.abs(ours.run(["logits"], inputs)[0] - theirs.run(["logits"], inputs)[0]).max() < 1e-5


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
