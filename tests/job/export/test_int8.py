"""The int8 form of real tiny graphs: what is of one byte, and that a row's answer is its own."""

import math

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from writing_models import CAUSAL

from tunewright.job.export.generation import export_generation
from tunewright.job.export.graph import ARCHITECTURES, EXPORT_TASK
from tunewright.job.export.int8 import quantize_int8, quantized_columns
from tunewright.job.train.device.fake_int8 import LEAST, int8_imitated
from tunewright.serving.runtime.session import Session

QUICK = ("bert",)


@pytest.fixture(scope="module")
def int8(exported, tmp_path_factory):
    """int8("bert") gives the path of the int8 form of a tiny model, made anew."""

    def make(kind="bert", task=EXPORT_TASK, pooling="native", **more):
        path = tmp_path_factory.mktemp(kind) / "onnx/int8/model.onnx"
        quantize_int8(exported(kind, task, pooling).path, path, **more)
        return path

    return make


def float_weights(path):
    """Names of the products and look-ups that still read a constant matrix of float32, large enough to be quantized."""
    graph = onnx.load(path).graph
    floats = [one for one in graph.initializer if one.data_type == TensorProto.FLOAT and len(one.dims) == 2]
    large = {one.name for one in floats if np.prod(one.dims) >= LEAST and min(one.dims) > 1}
    turned = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Transpose"}
    return [
        node.name or node.output[0]
        for node in graph.node
        if node.op_type in ("MatMul", "Gemm", "Gather") and any(turned.get(name, name) in large for name in node.input)
    ]


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in ARCHITECTURES]
)
def test_every_product_with_a_constant_and_every_table_is_of_one_byte(int8, exported, kind):
    path = int8(kind)
    assert float_weights(exported(kind).path)
    assert float_weights(path) == []


def test_of_a_bert_attention_and_the_small_weights_stay_float32(int8):
    graph = onnx.load(int8()).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("MatMulIntegerToFloat") == 2 * 6 + 1  # of each layer, and the pooler
    assert kinds.count("MatMul") == 2 * 2  # queries with keys, and those with values
    assert kinds.count("Gemm") == 1  # the head's 3 x 32
    # Queries, keys and values read the same rows, which are quantized once.
    assert kinds.count("ReduceMax") == 2 * 4 + 1
    large = {one.name: one.data_type for one in graph.initializer if np.prod(one.dims) >= LEAST and min(one.dims) > 1}
    assert set(large.values()) == {TensorProto.INT8}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in ARCHITECTURES]
)
def test_quantization_aware_training_rounds_as_the_file_does(int8, exported, open_session, kind):
    model, session = exported(kind).model, open_session(int8(kind))
    inputs = padded_inputs([one.name for one in session.get_inputs()], [12, 7], 12)
    names, tensors = set(model.state_dict()), {name: torch.from_numpy(array) for name, array in inputs.items()}
    (file,) = session.run(["logits"], inputs)
    with torch.no_grad():
        plain = model(**tensors)["logits"].numpy()
        with int8_imitated(model, True):
            assert set(model.state_dict()) == names
            rounded = model(**tensors)["logits"].numpy()
        assert (model(**tensors)["logits"].numpy() == plain).all()
    assert np.abs(file - rounded).max() < 0.05 * np.abs(file - plain).max()


def test_a_file_of_int8_is_a_fraction_of_float32_and_tells_its_opsets(int8, exported):
    path = int8()
    assert path.stat().st_size < 0.4 * exported().path.stat().st_size
    assert {one.domain: one.version for one in onnx.load(path).opset_import} == {"": 21, "com.microsoft": 1}


def padded_inputs(names, lengths, longest):
    """Random rows, padded to the longest one."""
    random = np.random.default_rng(5)
    mask = (np.arange(longest) < np.array(lengths)[:, None]).astype(np.int64)
    inputs = {"input_ids": random.integers(5, 1000, mask.shape) * mask, "attention_mask": mask}
    return {name: inputs.get(name, np.zeros_like(mask)) for name in names}


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("bert", EXPORT_TASK),
        pytest.param("modernbert", EXPORT_TASK, marks=pytest.mark.slow),
        pytest.param("deberta-v2", EXPORT_TASK, marks=pytest.mark.slow),
        pytest.param("distilbert", "token-classification", marks=pytest.mark.slow),
        pytest.param("bert", "question-answering", marks=pytest.mark.slow),
    ],
)
def test_a_row_answers_alone_as_in_a_padded_batch(int8, open_session, kind, task):
    session = open_session(int8(kind, task))
    lengths = [3, 40, 17, 8]
    inputs = padded_inputs([one.name for one in session.get_inputs()], lengths, 40)
    for together in session.run(None, inputs):
        for row, length in enumerate(lengths):
            alone = session.run(None, {name: values[row : row + 1, :length] for name, values in inputs.items()})
            own = together[row, :length] if together.ndim > 2 or task == "question-answering" else together[row]
            assert min(np.abs(own - one[0]).max() for one in alone) < 1e-5


def test_int8_answers_nearly_as_float32(int8, exported, open_session):
    sessions = [open_session(path) for path in (exported().path, int8())]
    inputs = padded_inputs([one.name for one in sessions[0].get_inputs()], [9, 30], 30)
    truth, found = (session.run(None, inputs)[0] for session in sessions)
    assert 0 < np.abs(truth - found).max() < 0.1


def product(tmp_path, nodes, weight, bias=None):
    """The session of the int8 form of a graph that ends in one product."""
    weights = {"weight": weight} | ({} if bias is None else {"bias": bias})
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["batch", 32])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), tmp_path / "a.onnx")
    quantize_int8(tmp_path / "a.onnx", tmp_path / "b.onnx")
    sessions = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    return [Session(path).onnx for path in sessions]


def test_a_row_of_zeros_gives_the_bias_and_does_not_touch_the_others(tmp_path):
    random = np.random.default_rng(0)
    weight, bias = (random.standard_normal(shape, np.float32) for shape in ((32, 64), (32,)))
    rows = random.standard_normal((3, 64), np.float32) * np.float32([[1e-3], [0], [1e3]])
    node = helper.make_node("Gemm", ["rows", "weight", "bias"], ["found"], transB=1)
    _, session = product(tmp_path, [node], weight, bias)
    (found,) = session.run(None, {"rows": rows})
    assert np.array_equal(found[1], bias)
    for row, answered in zip(rows[::2], found[::2], strict=True):
        truth = weight @ row
        assert np.abs(answered - bias - truth).max() < 0.02 * np.abs(truth).max()


def test_a_row_that_is_not_finite_is_not_hidden(tmp_path):
    weight = np.random.default_rng(0).standard_normal((64, 32), np.float32)
    rows = np.ones((2, 64), np.float32)
    rows[0, 3] = np.inf
    _, session = product(tmp_path, [helper.make_node("MatMul", ["rows", "weight"], ["found"])], weight)
    (found,) = session.run(None, {"rows": rows})
    assert not np.isfinite(found[0]).any()
    assert np.isfinite(found[1]).all()


BOUNDED = {
    "Gelu": lambda rows: (rows / 2 * (1 + np.vectorize(math.erf)(rows / 2**0.5))).astype(np.float32),
    "Relu": lambda rows: np.maximum(rows, 0),
}


@pytest.mark.parametrize("kind", BOUNDED)
def test_what_never_falls_far_below_zero_is_rounded_finer(tmp_path, kind):
    random = np.random.default_rng(0)
    weight, rows = random.integers(-127, 128, (64, 32)).astype(np.float32), random.standard_normal((50, 64), np.float32)
    weight[0] = 127  # so that the bytes of the weights are exact
    rows[0] = -5  # of which both make nothing, or nearly
    last = helper.make_node("MatMul", ["bounded", "weight"], ["found"])
    apart = {}
    for bounded in (kind, "Identity"):
        given = BOUNDED[kind](rows) if bounded == "Identity" else rows
        sessions = product(tmp_path, [helper.make_node(bounded, ["rows"], ["bounded"]), last], weight)
        truth, found = (session.run(None, {"rows": given})[0] for session in sessions)
        apart[bounded] = np.abs(truth - found).mean()
    assert 0 < apart[kind] < 0.7 * apart["Identity"]


def test_a_column_is_scaled_by_its_own_largest_number():
    quantized, scale = quantized_columns(np.float32([[1, -100, 0], [-0.5, 50, 0]]))
    assert quantized.tolist() == [[127, -127, 0], [-64, 64, 0]]
    assert scale[0, :2] == pytest.approx([1 / 127, 100 / 127])


def test_weights_that_do_not_fit_lie_in_a_file_beside_the_graph(int8, open_session):
    whole, parted = int8(), int8(inline=1000)
    assert sorted(path.name for path in parted.parent.iterdir()) == ["model.onnx", "model.onnx_data"]
    sessions = [open_session(path) for path in (whole, parted)]
    inputs = padded_inputs([one.name for one in sessions[0].get_inputs()], [9, 30], 30)
    assert np.array_equal(*(session.run(None, inputs)[0] for session in sessions))


@pytest.mark.slow
def test_embeddings_that_are_the_last_layer_too_lie_in_the_file_once(tmp_path):
    made = export_generation(CAUSAL["gpt2"]().eval(), tmp_path, ["fp32", "int8"])
    assert [one.file for one in made.values()] == ["onnx/fp32/model.onnx", "onnx/int8/model.onnx"]
    assert [one.batching for one in made.values()] == ["padded", "padded"]
    assert [path.name for path in (tmp_path / "onnx" / "int8").iterdir()] == ["model.onnx"]
    graph = onnx.load(tmp_path / "onnx/int8/model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("MatMulIntegerToFloat") == 9
    assert kinds.count("MatMul") == 4
    assert "Gemm" not in kinds
    assert len([one for one in graph.initializer if "wte" in one.name or "lm_head" in one.name]) == 2


def test_products_of_large_bytes_are_exact_on_every_processor(tmp_path):
    nodes = [helper.make_node("MatMul", ["rows", "weight"], ["found"])]
    expected, found = answers_to_large_rows(product(tmp_path, nodes, np.full((64, 32), 3, dtype=np.float32)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_products_that_share_a_weight_are_exact_on_every_processor_and_keep_it_once(tmp_path):
    """As the layers of ALBERT do."""
    nodes = [
        helper.make_node("MatMul", ["rows", "weight"], ["first"]),
        helper.make_node("Neg", ["rows"], ["less"]),
        helper.make_node("MatMul", ["less", "weight"], ["second"]),
        helper.make_node("Sub", ["first", "second"], ["found"]),
    ]
    expected, found = answers_to_large_rows(product(tmp_path, nodes, np.full((64, 32), 3, dtype=np.float32)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    kept = onnx.load(tmp_path / "b.onnx").graph.initializer
    assert [one.name for one in kept if one.data_type == TensorProto.INT8] == ["weight.int8"]


def answers_to_large_rows(sessions):
    return [one.run(None, {"rows": np.full((3, 64), 100, dtype=np.float32)})[0] for one in sessions]


def test_a_file_of_an_older_version_whose_products_share_a_weight_is_opened(tmp_path, open_session):
    weight = numpy_helper.from_array(np.full((64, 64), 100, dtype=np.int8), "weight")
    nodes = [helper.make_node("MatMulInteger", [given, "weight"], [made]) for given, made in (("a", "x"), ("b", "y"))]
    given = [helper.make_tensor_value_info(name, TensorProto.UINT8, ["batch", 64]) for name in "ab"]
    made = [helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", 64]) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "shared", given, made, [weight]), ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    ones = np.ones((1, 64), dtype=np.uint8)
    assert [one[0, 0] for one in open_session(tmp_path / "model.onnx").run(None, {"a": ones, "b": ones})] == [6400] * 2
