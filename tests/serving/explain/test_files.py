"""Explanations of images and recordings, by models that look at one corner and hear one second."""

import base64
import io
import json
import shutil
import wave

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tunewright.serving.explain.explaining import explain, run_steps
from tunewright.serving.explain.subject import Asked


def write_bundle(folder, task, name, axes, window, options, *, labels=("yes", "no"), **more):
    """The graph's logit of the first label is the mean of one part of what it reads, that of a second one is 0."""
    starts, ends, along = (np.array(values) for values in window)
    weights = {
        "starts": starts,
        "ends": ends,
        "along": along,
        "head": np.array([[8.0, 0.0][: len(labels)]], np.float32),
    }
    weights["shape"] = np.array([-1, 1])
    nodes = [
        helper.make_node("Slice", [name, "starts", "ends", "along"], ["part"]),
        helper.make_node("ReduceMean", ["part"], ["mean"], axes=list(range(1, len(axes))), keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["column"]),
        helper.make_node("MatMul", ["column", "head"], ["logits"]),
    ]
    reads = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(axes))]
    gives = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", len(labels)])]
    constants = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, "tiny", reads, gives, constants)
    (folder / "onnx").mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "onnx/m.onnx"
    )
    variant = {"file": "onnx/m.onnx", "batching": "padded", "bytes": 1, "golden_tolerance": 0.01}
    content = {"format": 1, "task": task, "problem": "single_label", "labels": labels, "options": options, **more}
    (folder / "model.json").write_text(json.dumps({**content, "variants": {"v": variant}, "default_variant": "v"}))
    return folder


def explained(predictor, data, budget=128, **beside):
    content = base64.b64encode(data).decode()
    read, _ = predictor.task.read_inputs({"image": content, **beside} if beside else content, predictor.model)
    (found,) = run_steps(predictor, explain(predictor, read[0], Asked(budget)))
    assert found["rows"] <= budget
    return found


def picture(width, height, box):
    """White in a box, black around it, as a PNG."""
    image = Image.new("RGB", (width, height))
    image.paste((255, 255, 255), box)
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def test_the_corner_that_decides_weighs_most(tmp_path, open_bundle):
    corner = ((0, 14, 14), (3, 28, 28), (1, 2, 3))
    resize = {"image": {"resize": {"height": 28, "width": 28}}}
    folder = write_bundle(tmp_path, "image-classification", "pixel_values", ("B", 3, 28, 28), corner, resize)
    found = explained(open_bundle(folder), picture(100, 60, (50, 30, 100, 60)))
    assert found["target"] == "yes"
    middles = [
        ((part["box"][0] + part["box"][2]) / 2, (part["box"][1] + part["box"][3]) / 2)
        for part in sorted(found["parts"], key=lambda part: -part["weight"])[:4]
    ]
    assert all(across > 0.45 and down > 0.45 for across, down in middles)


def test_a_number_of_an_image_adds_up_in_its_own_unit(tmp_path, open_bundle):
    whole = ((0, 0, 0), (3, 28, 28), (1, 2, 3))
    resize = {"image": {"resize": {"height": 28, "width": 28}}}
    axes, more = ("B", 3, 28, 28), {"labels": ("light",), "problem": "regression"}
    folder = write_bundle(tmp_path, "image-regression", "pixel_values", axes, whole, resize, **more)
    found = explained(open_bundle(folder), picture(56, 56, (0, 0, 28, 56)))
    assert (found["target"], found["scale"]) == ("light", "score")
    assert sum(part["weight"] for part in found["parts"]) == pytest.approx(found["score"] - found["base"], abs=1e-4)
    left = [part["weight"] for part in found["parts"] if part["box"][2] <= 0.5]
    right = [part["weight"] for part in found["parts"] if part["box"][0] >= 0.5]
    assert min(left) > 0 > max(right)


def test_an_image_and_its_text_are_explained_together(tmp_path, reviews, open_bundle):
    corner = ((0, 14, 14), (3, 28, 28), (1, 2, 3))
    resize = {"image": {"resize": {"height": 28, "width": 28}}}
    axes = ("B", 3, 28, 28)
    folder = write_bundle(
        tmp_path, "image-text-classification", "pixel_values", axes, corner, resize, max_length=32, padding={"id": 0}
    )
    shutil.copyfile(reviews / "tokenizer.json", folder / "tokenizer.json")
    found = explained(open_bundle(folder), picture(60, 60, (30, 30, 60, 60)), text="a great lamp")
    assert [part["text"] for part in found["parts"] if "text" in part] == ["a", "great", "lamp"]
    heaviest = max(found["parts"], key=lambda part: part["weight"])
    assert min(heaviest["box"][2:]) > 0.5


def test_squares_of_an_image_that_is_cut_lie_where_it_was_seen(tmp_path, open_bundle):
    options = {"image": {"resize": {"shortest_edge": 28}, "crop": {"height": 28, "width": 28}}}
    everything = ((0, 0, 0), (3, 28, 28), (1, 2, 3))
    folder = write_bundle(tmp_path, "image-classification", "pixel_values", ("B", 3, 28, 28), everything, options)
    found = explained(open_bundle(folder), picture(200, 100, (0, 0, 200, 100)))
    boxes = np.array([part["box"] for part in found["parts"]])
    assert (boxes.min(axis=0)[:2], boxes.max(axis=0)[2:]) == (pytest.approx([0.25, 0]), pytest.approx([0.75, 1]))


def test_the_second_that_decides_weighs_most(tmp_path, open_bundle):
    options = {"audio": {"kind": "waveform", "sampling_rate": 8000, "do_normalize": False}}
    second = ((16_000,), (24_000,), (1,))
    folder = write_bundle(tmp_path, "audio-classification", "input_values", ("B", "T"), second, options)
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        samples = np.zeros(32_000, np.int16)
        samples[16_000:24_000] = 30_000
        file.writeframes(samples.tobytes())
    found = explained(open_bundle(folder), content.getvalue())
    heaviest = sorted(found["parts"], key=lambda part: -part["weight"])[:4]
    assert {(part["start"], part["end"]) for part in heaviest} == {(2 + n / 4, 2.25 + n / 4) for n in range(4)}
