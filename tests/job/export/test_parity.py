import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.torch import load_file
from torch import nn

from tunewright.job.errors import JobError
from tunewright.job.export import graph as export_step
from tunewright.job.export.graph import export_fp32
from tunewright.job.export.parity import Parity, compare, require
from tunewright.job.kinds.plan import Plan
from tunewright.job.recipe import run
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.record import version_numbers
from tunewright.serving.predictor import open_predictor


def spoil_one_weight(path):
    """Change one number of one matrix, as a flipped bit would."""
    graph = onnx.load(path)
    tensor = next(one for one in graph.graph.initializer if len(one.dims) == 2 and list(one.dims) == [32, 32])
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[3, 5] += 2.0
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(graph, path)


@dataclass(frozen=True)
class Both:
    """A model in torch and its graph on the disk."""

    plan: Plan
    model: nn.Module
    folder: Path
    inputs: list[str]

    @property
    def graph(self):
        """The path of the graph."""
        return self.folder / "onnx" / "fp32" / "model.onnx"

    def compared(self, **unit):
        """The parity of what lies on the disk."""
        predictor = open_predictor(self.folder, variant="fp32")
        expected = self.plan.prepared.task.inputs.torch_outputs(self.model, self.plan, self.inputs)
        found = compare(expected, predictor.outputs(self.inputs), **unit)
        predictor.close()
        return found


@pytest.fixture
def both(made, plan_of, tmp_path):
    """What a job has registered, with a graph that may be spoilt, and 20 texts."""
    one = made("single")
    plan, folder = plan_of(one), shutil.copytree(one.outcome.release.folder, tmp_path / "bundle")
    model = plan.prepared.task.graph.build(plan).eval()
    model.load_state_dict(load_file(folder / "weights" / "model.safetensors"))
    return Both(plan, model, folder, plan.prepared.validation.data.inputs()[:20])


def test_the_exported_graph_answers_as_torch(both):
    parity = both.compared()
    assert (parity.rows, parity.agreement) == (20, 1.0)
    assert 0 < parity.largest < 1e-5
    require(parity, 1e-3)


def test_one_flipped_weight_is_seen(both):
    spoil_one_weight(both.graph)
    with pytest.raises(JobError, match=r"^parity failed: on 20 validation rows the fp32 ONNX file differs"):
        require(both.compared(), 1e-3)


def test_the_difference_is_told_in_units_of_the_targets(both):
    spoil_one_weight(both.graph)
    plain, scaled = (both.compared(unit=unit).largest for unit in (1.0, 10.0))
    assert np.isclose(scaled, plain / 10)


def arrays(*values):
    return [np.array(value, dtype=np.float32) for value in values]


def test_the_largest_difference_and_the_agreement_are_of_all_rows():
    parity = compare(arrays([1, 2], [3, 0], [0, 1]), arrays([1, 2.5], [1, 1.5], [0, 1]))
    assert parity == Parity(rows=3, largest=2.0, agreement=2 / 3)


def test_rows_of_several_tokens_agree_by_the_token():
    parity = compare(
        arrays([[1, 0], [1, 0], [1, 0]], [[0, 1]]),
        arrays([[1, 0], [0.9, 1], [1, 0]], [[0, 1]]),
    )
    assert parity == Parity(rows=2, largest=1.0, agreement=0.75)


@pytest.mark.parametrize(
    ("expected", "answered", "said"),
    [
        ([0, 1], [0, 1, 2], "(2,), the ONNX file with (3,)"),
        # numpy would spread the one over the other.
        ([0, 1], [0], "(2,), the ONNX file with (1,)"),
        ([[0, 1]], [0, 1], "(1, 2), the ONNX file with (2,)"),
        ([[0, 1], [0, 1]], [[0, 1]], "(2, 2), the ONNX file with (1, 2)"),
    ],
)
def test_an_output_of_another_shape_is_refused(expected, answered, said):
    with pytest.raises(JobError) as caught:
        compare(arrays([0, 1], expected), arrays([0, 1], answered))
    assert str(caught.value) == f"parity failed: torch answers with the shape {said}; nothing was registered"


def test_an_output_that_is_not_there_is_no_parity():
    with pytest.raises(ValueError, match="shorter"):
        compare(arrays([0, 1], [0, 1]), arrays([0, 1]))


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("side", ["torch", "onnx", "both"])
def test_a_number_that_is_none_is_never_passed_over(row, side):
    expected, answered = arrays([0, 1], [0, 1], [0, 1]), arrays([0, 1], [0, 1], [0, 1])
    for name, outputs in (("torch", expected), ("onnx", answered)):
        if side in (name, "both"):
            outputs[row][1] = np.nan
    parity = compare(expected, answered)
    assert np.isnan(parity.largest)
    with pytest.raises(JobError, match="by up to nan"):
        require(parity, 1e9)


@pytest.mark.parametrize("largest", [0.2, float("nan"), float("inf")])
def test_a_difference_over_the_tolerance_is_refused(largest):
    with pytest.raises(JobError) as caught:
        require(Parity(rows=7, largest=largest, agreement=1.0), 0.1)
    assert str(caught.value) == (
        f"parity failed: on 7 validation rows the fp32 ONNX file differs from torch by up to {largest:.3g} "
        "(allowed: 0.1); nothing was registered"
    )


@pytest.mark.slow
def test_a_job_whose_graph_was_damaged_registers_nothing(make_settings, registry, monkeypatch):
    def export_damaged(model, path, *task, **options):
        export_fp32(model, path, *task, **options)
        spoil_one_weight(path)

    monkeypatch.setattr(export_step, "export_fp32", export_damaged)
    with pytest.raises(JobError, match="parity failed"):
        run(make_settings(), registry)
    assert version_numbers(open_store(registry.uri), "tiny") == []
