"""One ONNX graph."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import TensorProto, helper

from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.errors import BundleError, DeadlineExceeded, SettingsError
from tunewright.serving.onnx_runtime import ort
from tunewright.serving.runtime.session import Session, TimeLimit, check_provider


@pytest.fixture
def endless(make_bundle, recipe, open_bundle):
    """A graph, and a batch on which it never ends."""
    text = open_bundle(make_bundle(recipe(endless_on="guitar"))).engine.text
    return text.session, text.encoder.pad(text.encoder.encode(["a guitar"]), text.session.inputs)


def test_a_run_that_does_not_end_is_ended_at_the_limit(endless):
    session, batch = endless
    with TimeLimit(0.2) as limit, pytest.raises(DeadlineExceeded, match=r"^the model did not answer within 0\.2 s$"):
        session.run(batch, limit=limit)


def test_one_limit_ends_all_runs_that_share_it(endless):
    session, batch = endless

    def run(_):
        with pytest.raises(DeadlineExceeded):
            session.run(batch, limit=limit)

    with ThreadPoolExecutor(2) as pool, TimeLimit(0.2) as limit:
        assert list(pool.map(run, range(6))) == [None] * 6


def test_a_limit_does_not_touch_a_run_that_is_quick(reviews):
    session = Session(reviews / "onnx/fp32/model.onnx")
    batch = {name: np.ones((1, 3), np.int64) for name in session.inputs}
    with TimeLimit(60) as limit:
        assert np.array_equal(session.run(batch, limit=limit), session.run(batch))


def test_an_error_of_the_graph_is_not_mistaken_for_the_limit(reviews):
    session = Session(reviews / "onnx/fp32/model.onnx")
    batch = {name: np.full((1, 3), 999_999, np.int64) for name in session.inputs}
    with TimeLimit(60) as limit, pytest.raises(Exception, match="indices element out of data bounds"):
        session.run(batch, limit=limit)


def sums(tmp_path):
    """What a product of the largest bytes gives: two of them together are more than 16 bits hold."""
    weights = helper.make_tensor(
        "weights", TensorProto.INT8, [256, 32], np.full((256, 32), 127, np.int8).tobytes(), raw=True
    )
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["given"], ["bytes"], to=TensorProto.UINT8),
            helper.make_node("MatMulInteger", ["bytes", "weights"], ["sums"]),
            helper.make_node("Cast", ["sums"], ["logits"], to=TensorProto.FLOAT),
        ],
        "sums",
        [helper.make_tensor_value_info("given", TensorProto.INT64, [None, 256])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    return Session(tmp_path / "model.onnx").run({"given": np.full((8, 256), 255)})[0]


def test_no_sum_of_bytes_is_cut(tmp_path):
    assert (sums(tmp_path) == 255 * 127 * 256).all()


def test_no_sum_of_bytes_is_cut_where_nothing_is_known_of_the_processor(tmp_path, monkeypatch):
    monkeypatch.setattr("tunewright.serving.runtime.session.has_vnni", lambda: False)
    assert (sums(tmp_path) == 255 * 127 * 256).all()


def test_a_file_that_is_no_graph_is_named(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError) as caught:
        Session(tmp_path / "model.onnx")
    assert str(caught.value).startswith(f"ONNX Runtime refuses {tmp_path}/model.onnx: ")


@pytest.fixture
def without_cuda():
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime was built for GPUs")


@pytest.mark.usefixtures("without_cuda")
def test_a_provider_that_was_not_built_in_is_refused():
    check_provider("cpu")
    with pytest.raises(SettingsError) as caught:
        check_provider("cuda")
    assert str(caught.value) == (
        "SERVING_PROVIDER is cuda, but the ONNX Runtime that is installed computes on processors only; leave it out, "
        "or serve from an image that was built with PROVIDER=cuda"
    )


@pytest.mark.usefixtures("without_cuda")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_does_not_answer_is_not_replaced_by_the_processor(reviews):
    model = read_model_file(reviews)
    with pytest.raises(SettingsError, match=r"^SERVING_PROVIDER is cuda, but ONNX Runtime could not begin on a GPU"):
        Session(reviews / model.variants["fp32"].file, provider="cuda")
