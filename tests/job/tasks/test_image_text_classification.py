"""Image and text together: both are read, the registered version answers as torch does."""

import base64
import csv

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from tunewright.job.errors import BaseModelError
from tunewright.job.model.build import build_pair
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.job import JobSettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull
from tunewright.serving.errors import InputError
from tunewright.serving.predictor import open_predictor
from tunewright.serving.tasks import TASKS

COLOURS = ["red", "green", "blue"]
ASKED = {"question": ("is it red?", "red"), "other": ("is it blue?", "blue")}


@pytest.fixture(scope="module")
def base(tmp_path_factory, tiny_tokenizer):
    """A folder with a tiny CLIP."""
    folder = tmp_path_factory.mktemp("clip")
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(5)
    config = CLIPConfig(
        text_config={**small, "vocab_size": 1200, "max_position_embeddings": 32, "eos_token_id": 3, "pad_token_id": 0},
        vision_config={**small, "image_size": 16, "patch_size": 8},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    for file in tiny_tokenizer.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture(scope="module")
def settings(base, tmp_path_factory, picture):
    """A job over 90 pictures, each with a question that yes or no answers."""
    folder = tmp_path_factory.mktemp("questions")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text", "label"])
        for number in range(90):
            colour = COLOURS[number % 3]
            (folder / f"{number}.png").write_bytes(picture(colour, number))
            question, right = list(ASKED.values())[number // 3 % 2]
            writer.writerow([f"{number}.png", question, "yes" if colour == right else "no"])
    return JobSettings(
        task="image-text-classification",
        base_model=str(base),
        model_name="asked",
        data={"train": str(folder / "train.csv")},
        train={"epochs": 2, "learning_rate": 3e-3, "batch_size": 8, "precision": "fp32", "max_length": 16},
        gate={"max_drop": {"int8": 1}},
        output=folder / "runs",
        keep_bundle=True,
    )


@pytest.mark.always
@pytest.mark.slow
def test_a_version_is_registered_and_answers_as_torch(settings, registry, tmp_path, picture):
    made = run(settings, registry)
    folder = pull(open_store(registry.uri), "asked:1", cache=registry.cache).folder
    assert [len(onnx.load(path).graph.value_info) for path in folder.glob("onnx/*/model.onnx")] == [0, 0]
    predictor = open_predictor(folder, variant="fp32")
    sent = [
        {"image": base64.b64encode(picture("red", 900)).decode(), "text": "is it red?"},
        {
            "image": base64.b64encode(picture("blue", 901, (90, 33))).decode(),
            "text": "is this one blue, or not at all?",
        },
        {"image": base64.b64encode(picture("green", 902)).decode(), "text": "是红色的吗 😀"},
    ]
    inputs, _ = TASKS["image-text-classification"].read_inputs(sent, predictor.model)
    together = np.stack(predictor.outputs(inputs))
    alone = np.concatenate([predictor.outputs([one]) for one in inputs])
    assert np.abs(together - alone).max() < 1e-5
    plan, _ = prepare_all(settings, registry, tmp_path / "work")
    model = build_pair(plan.base, plan.prepared.labels, settings.train).eval()
    model.load_state_dict(load_file(folder / "weights" / "model.safetensors"))
    with torch.no_grad():
        expected = [model(**plan.encoder.arrays([one]))["logits"][0].numpy() for one in inputs]
    assert np.abs(together - np.stack(expected)).max() < 1e-4
    assert np.abs(together[0] - together[1]).max() > 1e-4
    assert made.release.parities["fp32"].agreement == 1
    predictor.close()


def test_the_text_and_the_image_both_matter(settings, registry, tmp_path):
    plan, (train, _) = prepare_all(settings, registry, tmp_path / "work")
    model = build_pair(plan.base, plan.prepared.labels, settings.train).eval()
    batch = train.batch([0, 1])
    batch.pop("targets")
    with torch.no_grad():
        before = model(**batch)["logits"]
        other_text = model(**{**batch, "input_ids": batch["input_ids"].roll(1, 1)})["logits"]
        other_image = model(**{**batch, "pixel_values": -batch["pixel_values"]})["logits"]
    assert not torch.allclose(before, other_text, atol=1e-5)
    assert not torch.allclose(before, other_image, atol=1e-5)


def test_an_input_needs_both():
    with pytest.raises(InputError, match=r"^inputs\[0\] is .*; this model reads \{\"image\": base64, \"text\": ...\}$"):
        TASKS["image-text-classification"].read_inputs([{"image": "aGk="}], None)


def test_a_base_without_a_tokenizer_is_refused(settings, registry, base, tmp_path):
    for file in base.iterdir():
        if file.name != "tokenizer.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(BaseModelError, match=r"has no tokenizer\.json"):
        prepare_all(settings.model_copy(update={"base_model": str(tmp_path)}), registry, tmp_path / "work")
