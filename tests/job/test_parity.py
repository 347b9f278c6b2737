import numpy as np
import onnx
import pytest

from job import release as release_step
from job.errors import JobError
from job.export import export_fp32
from job.model import build_model
from job.parity import Parity, compare, require
from job.recipe import run
from job.settings import TrainSettings
from registry.record import version_numbers
from registry.store import open_store
from serving.bundle import MODEL_FILE, ModelFile, Variant
from serving.predictor import open_predictor

LABELS = ["a", "b", "c"]


def spoil_one_weight(path):
    """Change one number of one matrix, as a flipped bit would."""
    graph = onnx.load(path)
    tensor = next(one for one in graph.graph.initializer if len(one.dims) == 2 and list(one.dims) == [32, 32])
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[3, 5] += 2.0
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(graph, path)


@pytest.fixture
def pair_of_both(fetch, tiny_base, tiny_tokenizer, encoder, tmp_path):
    """A tiny model in torch, and a function that opens its graph as it lies on the disk."""
    model = build_model(fetch(tiny_base), LABELS, TrainSettings(pooling="mean")).eval()
    path = tmp_path / "onnx" / "fp32" / "model.onnx"
    export_fp32(model, path)
    (tmp_path / "tokenizer.json").write_bytes((tiny_tokenizer / "tokenizer.json").read_bytes())
    size = path.stat().st_size
    variant = Variant(file="onnx/fp32/model.onnx", batching="padded", bytes=size, golden_tolerance=1e-3)
    described = ModelFile(
        format=1, task="text-classification", problem="single_label", labels=LABELS, max_length=encoder.max_length,
        padding=encoder.padding, variants={"fp32": variant}, default_variant="fp32",
    )  # fmt: skip
    (tmp_path / MODEL_FILE).write_text(described.model_dump_json())
    return model, path, lambda: open_predictor(tmp_path)


@pytest.fixture
def rows(encoder, reviews):
    return encoder.encode([text for text, _ in reviews[:20]])


def test_the_exported_graph_answers_as_torch(pair_of_both, rows):
    model, _, open_graph = pair_of_both
    parity = compare(model, open_graph(), rows)
    assert (parity.rows, parity.agreement) == (20, 1.0)
    assert 0 < parity.largest < 1e-5
    require(parity, 1e-3)


def test_one_flipped_weight_is_seen(pair_of_both, rows):
    model, path, open_graph = pair_of_both
    spoil_one_weight(path)
    with pytest.raises(JobError, match=r"^parity failed: on 20 validation rows the fp32 ONNX file differs"):
        require(compare(model, open_graph(), rows), 1e-3)


def test_the_difference_is_told_in_units_of_the_targets(pair_of_both, rows):
    model, path, open_graph = pair_of_both
    spoil_one_weight(path)
    plain, scaled = (compare(model, open_graph(), rows, unit=unit).largest for unit in (1.0, 10.0))
    assert np.isclose(scaled, plain / 10)


@pytest.mark.parametrize("largest", [0.2, float("nan"), float("inf")])
def test_a_difference_over_the_tolerance_is_refused(largest):
    with pytest.raises(JobError) as caught:
        require(Parity(rows=7, largest=largest, agreement=1.0), 0.1)
    assert str(caught.value) == (
        f"parity failed: on 7 validation rows the fp32 ONNX file differs from torch by up to {largest:.3g} "
        "(allowed: 0.1); nothing was registered"
    )


def test_a_job_whose_graph_was_damaged_registers_nothing(make_settings, registry, monkeypatch):
    def export_damaged(model, path):
        export_fp32(model, path)
        spoil_one_weight(path)

    monkeypatch.setattr(release_step, "export_fp32", export_damaged)
    with pytest.raises(JobError, match="parity failed"):
        run(make_settings(), registry)
    assert version_numbers(open_store(registry.uri), "tiny") == []
