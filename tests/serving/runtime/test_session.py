"""One ONNX graph."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tunewright.serving.errors import BundleError, DeadlineExceeded
from tunewright.serving.runtime.session import Session, TimeLimit


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


def test_a_file_that_is_no_graph_is_named(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError) as caught:
        Session(tmp_path / "model.onnx")
    assert str(caught.value).startswith(f"ONNX Runtime refuses {tmp_path}/model.onnx: ")
