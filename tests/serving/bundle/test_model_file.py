"""model.json: what is accepted, and what is said of what is not."""

import pytest

from tunewright.serving.bundle.model_file import choose_variant, read_model_file
from tunewright.serving.errors import BundleError

VARIANT = {"file": "onnx/fp32/model.onnx", "batching": "padded", "bytes": 1, "golden_tolerance": 0.01}


@pytest.fixture
def fault(make_bundle, edit_model):
    """What is said of a bundle with these keys changed, without the path at its start."""

    def read(**changes):
        folder = make_bundle()
        edit_model(folder, **changes)
        with pytest.raises(BundleError) as caught:
            read_model_file(folder)
        assert str(caught.value).startswith(f"{folder}/model.json cannot be used: ")
        return str(caught.value).removeprefix(f"{folder}/model.json cannot be used: ")

    return read


def test_the_names_of_model_json_are_frozen(reviews):
    model = read_model_file(reviews).model_dump()
    assert set(model) == {
        *("format", "task", "requires", "problem", "labels", "pair", "max_length", "cleaning", "padding", "thresholds"),
        "options",
        *("variants", "default_variant", "left_out", "golden"),
    }
    assert set(model["cleaning"]) == {"html", "nfc", "control", "whitespace"}
    assert set(model["padding"]) == {"id", "type_id"}
    assert set(model["golden"][0]) == {"inputs", "outputs"}
    assert set(model["variants"]["fp32"]) == {
        *("file", "batching", "bytes", "metrics", "intervals", "ms_per_text", "golden_tolerance"),
        *("temperature", "min_score"),
    }


def test_a_folder_without_model_json_is_named(tmp_path):
    with pytest.raises(BundleError) as caught:
        read_model_file(tmp_path)
    assert str(caught.value) == f"{tmp_path} holds no model.json: it is not a Tunewright version"


def test_text_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(BundleError, match=r"model\.json cannot be used: the file: Invalid JSON"):
        read_model_file(tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": 2}, "format: Input should be 1"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"labels": ["a", "a"]}, "the file: the labels ['a', 'a'] are not distinct"),
        ({"labels": []}, "the file: a single_label needs labels"),
        ({"default_variant": "fp16"}, "the file: default_variant is 'fp16', but the variants are fp32, int8"),
        ({"problem": "regression"}, "the file: a regression has one label, not 2"),
        ({"thresholds": [0.5, 0.5]}, "the file: 2 thresholds, for a single_label of 2 labels"),
        ({"problem": "multi_label", "thresholds": [1]}, "the file: 1 thresholds, for a multi_label of 2 labels"),
        (
            {"problem": "multi_label", "variants": {"fp32": {**VARIANT, "min_score": 0.5}}},
            "the file: variants.fp32.min_score is for one label a row, not for a multi_label",
        ),
        (
            {"variants": {"fp32": {**VARIANT, "file": "../x.onnx"}}},
            "variants.fp32.file: '../x.onnx' leaves the bundle",
        ),
        (
            {"variants": {"int8\n": VARIANT}},
            "variants.int8\n.[key]: String should match pattern '^[a-z0-9][a-z0-9._-]{0,62}$'",
        ),
        ({"variants": {"fp32": {**VARIANT, "file": "/x.onnx"}}}, "variants.fp32.file: '/x.onnx' leaves the bundle"),
    ],
)
def test_a_fault_is_named_with_its_place(fault, changes, sentence):
    assert fault(**changes) == sentence


def test_a_number_that_json_does_not_have_is_refused(fault):
    assert fault(variants={"fp32": {**VARIANT, "golden_tolerance": float("nan")}}).startswith(
        "variants.fp32.golden_tolerance: Input should be a finite number"
    )


def test_the_default_variant_is_chosen_when_none_is_asked_for(reviews):
    assert choose_variant(read_model_file(reviews), None) == "fp32"


def test_the_variant_asked_for_is_chosen(reviews):
    assert choose_variant(read_model_file(reviews), "int8") == "int8"


def test_a_variant_that_failed_its_gate_is_refused_with_the_reason(reviews):
    with pytest.raises(BundleError) as caught:
        choose_variant(read_model_file(reviews), "fp16")
    assert str(caught.value) == (
        "this version has no variant 'fp16': it was left out because it lost 0.2 of accuracy against fp32"
    )
