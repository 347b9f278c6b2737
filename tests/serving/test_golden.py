"""Golden cases."""

import json

import pytest

from tunewright.serving.errors import BundleError
from tunewright.serving.golden import replay


def change_logits(folder, change):
    path = folder / "model.json"
    content = json.loads(path.read_text())
    content["golden"][2]["outputs"]["fp32"] = change(content["golden"][2]["outputs"]["fp32"])
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_what_was_recorded_is_what_is_computed(reviews, open_bundle, variant):
    assert replay(open_bundle(reviews, variant=variant)) == 6


def test_pairs_are_replayed_too(entailment, open_bundle):
    assert replay(open_bundle(entailment)) == 5


def test_a_difference_within_the_tolerance_is_accepted(make_bundle, open_bundle):
    folder = make_bundle()
    change_logits(folder, lambda logits: [logits[0] + 0.0009, logits[1]])
    assert replay(open_bundle(folder)) == 6


def test_a_difference_is_refused_with_its_size(make_bundle, open_bundle):
    folder = make_bundle()
    change_logits(folder, lambda logits: [logits[0] + 0.5, logits[1]])
    with pytest.raises(BundleError) as caught:
        replay(open_bundle(folder))
    assert str(caught.value) == (
        "golden case 2 of variant fp32 differs by 0.5 from what was recorded at export (allowed: 0.001): "
        "this machine does not compute what was measured"
    )


def test_a_case_of_another_width_is_refused(make_bundle, open_bundle):
    folder = make_bundle()
    change_logits(folder, lambda logits: logits[:1])
    with pytest.raises(BundleError, match=r"^golden case 2 has 1 numbers, but the model gives 2$"):
        replay(open_bundle(folder))


def test_a_broken_model_does_not_pass(make_bundle, open_bundle, edit_model, recipe):
    folder = make_bundle(recipe(nan_on="guitar"))
    edit_model(folder, golden=[{"inputs": "a guitar", "outputs": {"fp32": [0.0, 0.0]}}])
    with pytest.raises(BundleError, match="differs by nan"):
        replay(open_bundle(folder))


def test_a_case_that_is_no_input_of_the_model_is_named(make_bundle, open_bundle, edit_model):
    folder = make_bundle()
    edit_model(folder, golden=[{"inputs": ["a", "b"], "outputs": {"fp32": [0.0, 0.0]}}])
    with pytest.raises(BundleError, match=r"^golden case 0 is no input of this model: it reads one input, not a list"):
        replay(open_bundle(folder))


@pytest.mark.parametrize("golden", [[], [{"inputs": "great", "outputs": {"int8": [0.0, 0.0]}}]])
def test_a_variant_without_cases_proves_nothing_and_is_refused(make_bundle, open_bundle, edit_model, golden):
    folder = make_bundle()
    edit_model(folder, golden=golden)
    with pytest.raises(BundleError) as caught:
        replay(open_bundle(folder))
    assert str(caught.value) == (
        "model.json holds no golden case of the variant fp32, so that nothing tells whether this machine computes "
        "what was measured"
    )


def set_tolerance(folder, variant, tolerance, **figures):
    path = folder / "model.json"
    content = json.loads(path.read_text())
    content["variants"][variant] |= {"golden_tolerance": tolerance, **figures}
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("variant", "tolerance", "most"),
    [("fp32", 1e308, "0.001"), ("fp32", 1.0, "0.001"), ("fp32", 0.0011, "0.001"), ("int8", 0.6, "0.5")],
)
def test_a_tolerance_that_the_job_would_not_write_is_refused(make_bundle, open_bundle, variant, tolerance, most):
    folder = make_bundle()
    set_tolerance(folder, variant, tolerance)
    with pytest.raises(BundleError) as caught:
        replay(open_bundle(folder, variant=variant))
    assert str(caught.value) == (
        f"golden_tolerance of the variant {variant} is {tolerance:g}; at most {most} is allowed: another model would "
        "pass"
    )


def test_the_tolerance_of_a_regression_grows_with_its_unit(make_bundle, open_bundle, recipe):
    folder = make_bundle(recipe(problem="regression", labels=("score",), pair=True, task="text-regression"))
    set_tolerance(folder, "fp32", 0.5, metrics={"rmse": 300.0})
    assert replay(open_bundle(folder)) == 5
    set_tolerance(folder, "fp32", 0.5, metrics={"rmse": 100.0})
    with pytest.raises(BundleError, match=r"^golden_tolerance of the variant fp32 is 0.5; at most 0.2"):
        replay(open_bundle(folder))
