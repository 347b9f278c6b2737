"""Graphs that lack what generation needs."""

from dataclasses import dataclass, field, replace

import onnx
import pytest
from onnx import TensorProto, helper

from tunewright.serving.errors import BundleError
from tunewright.serving.generation.graph import CausalGraph, Seq2SeqGraph
from tunewright.serving.generation.loop import generate
from tunewright.serving.generation.settings import GenerationSettings

CACHE = ["N", 2, "past", 4]


@dataclass(frozen=True)
class Decoder:
    """Which inputs and outputs a graph has; nothing is computed but the caches, which pass through."""

    inputs: tuple[str, ...] = ("input_ids", "attention_mask", "position_ids")
    outputs: tuple[str, ...] = ("logits",)
    caches: dict[str, list] = field(default_factory=lambda: {"0.key": CACHE, "0.value": CACHE})
    presents: tuple[str, ...] | None = None
    cache_type: int = TensorProto.FLOAT
    vocabulary: int | str = 1

    def write(self, path):
        info = helper.make_tensor_value_info
        inputs = [info(name, TensorProto.INT64, ["N", "T"]) for name in self.inputs]
        outputs = [info(name, TensorProto.FLOAT, ["N", "T", self.vocabulary]) for name in self.outputs]
        nodes = [helper.make_node("Cast", ["input_ids"], ["floats"], to=TensorProto.FLOAT)]
        axes = helper.make_tensor("axes", TensorProto.INT64, [1], [-1 if self.vocabulary == 1 else 1])
        nodes += [helper.make_node("Unsqueeze", ["floats", "axes"], [name]) for name in self.outputs]
        for name, shape in self.caches.items():
            inputs.append(info(f"past_key_values.{name}", self.cache_type, shape))
            if self.presents is None or name in self.presents:
                nodes.append(helper.make_node("Identity", [f"past_key_values.{name}"], [f"present.{name}"]))
                outputs.append(info(f"present.{name}", self.cache_type, shape))
        graph = helper.make_graph(nodes, "decoder", inputs, outputs, [axes])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


WHOLE = Decoder()
ENCODER = Decoder(inputs=("input_ids", "attention_mask"), outputs=("last_hidden_state",), caches={})
MERGED = Decoder(
    inputs=("input_ids", "encoder_attention_mask"), caches={"0.decoder.key": CACHE, "0.encoder.key": CACHE}
)


def test_a_graph_with_all_parts_opens(tmp_path):
    WHOLE.write(tmp_path / "model.onnx")
    assert CausalGraph(tmp_path).vocabulary == 1
    ENCODER.write(tmp_path / "encoder_model.onnx")
    MERGED.write(tmp_path / "decoder_model_merged.onnx")
    assert Seq2SeqGraph(tmp_path, context=9).context == 9


@pytest.mark.parametrize(
    ("decoder", "fault"),
    [
        (
            replace(WHOLE, caches={}),
            "has no past_key_values inputs; export the model for generation with a cache",
        ),
        (replace(WHOLE, presents=("0.key",)), "has no output 'present.0.value', which generation needs"),
        (replace(WHOLE, outputs=()), "has no output 'logits', which generation needs"),
        (
            replace(WHOLE, inputs=("input_ids", "token_type_ids")),
            "wants an input 'token_type_ids'; known are input_ids, attention_mask, position_ids and past_key_values.*",
        ),
        (
            replace(WHOLE, caches={"0.key": ["N", "H", "past", 4]}),
            "has an input 'past_key_values.0.key' of shape ['N', 'H', 'past', 4]; rows and tokens alone may be open",
        ),
        (
            replace(WHOLE, caches={"0.key": [1, 2, "past", 4]}),
            "has an input 'past_key_values.0.key' of shape [1, 2, 'past', 4]; rows and tokens alone may be open",
        ),
        (
            replace(WHOLE, cache_type=TensorProto.INT8),
            "has an input 'past_key_values.0.key' of type tensor(int8), not tensor(float)",
        ),
        (replace(WHOLE, vocabulary="V"), "leaves open how many tokens its output 'logits' is of"),
    ],
)
def test_a_decoder_that_lacks_a_part_is_refused(tmp_path, decoder, fault):
    decoder.write(tmp_path / "model.onnx")
    with pytest.raises(BundleError) as caught:
        CausalGraph(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'model.onnx'} {fault}"


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({}, "{} holds no encoder_model.onnx, which a model that generates needs"),
        ({"encoder_model": ENCODER}, "{} holds no decoder_model_merged.onnx, which a model that generates needs"),
        (
            {"encoder_model": ENCODER, "decoder_model": MERGED},
            "{} holds no decoder_with_past_model.onnx, which a model that generates needs",
        ),
        (
            {"encoder_model": replace(ENCODER, outputs=("logits",)), "decoder_model_merged": MERGED},
            "{}/encoder_model.onnx has no output 'last_hidden_state', which generation needs",
        ),
        (
            {"encoder_model": ENCODER, "decoder_model_merged": replace(MERGED, presents=("0.decoder.key",))},
            "{}/decoder_model_merged.onnx has no output 'present.0.encoder.key', which generation needs",
        ),
        (
            {"encoder_model": ENCODER, "decoder_model": WHOLE, "decoder_with_past_model": MERGED},
            "{}/decoder_model.onnx has no output 'present.0.decoder.key', which generation needs",
        ),
    ],
)
def test_an_encoder_decoder_that_lacks_a_part_is_refused(tmp_path, files, fault):
    for name, graph in files.items():
        graph.write(tmp_path / f"{name}.onnx")
    with pytest.raises(BundleError) as caught:
        Seq2SeqGraph(tmp_path)
    assert str(caught.value) == fault.format(tmp_path)


def test_a_folder_without_a_graph_is_refused(tmp_path):
    with pytest.raises(BundleError) as caught:
        CausalGraph(tmp_path)
    assert str(caught.value) == f"{tmp_path} holds no model.onnx, which a model that generates needs"


def test_an_encoder_decoder_needs_a_start_token(tmp_path):
    ENCODER.write(tmp_path / "encoder_model.onnx")
    MERGED.write(tmp_path / "decoder_model_merged.onnx")
    with pytest.raises(BundleError) as caught:
        generate(Seq2SeqGraph(tmp_path), [[1]], GenerationSettings())
    assert (
        str(caught.value) == "the settings name no decoder_start_token_id, with which an encoder-decoder model begins"
    )
