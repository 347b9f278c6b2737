"""Image regression: taught, served, and taught again from what was registered."""

import csv
import io

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    ConvNextImageProcessor,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from tunewright.job.errors import SettingsError
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.teach import teach
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull
from tunewright.serving.predictor import open_predictor

FAMILIES = {
    "vit": lambda: (
        ViTForImageClassification(
            ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32,
                      patch_size=8)
        ),
        ViTImageProcessor(size={"height": 32, "width": 32}),
    ),
    "resnet": lambda: (
        ResNetForImageClassification(
            ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic")
        ),
        ConvNextImageProcessor(size={"shortest_edge": 32}),
    ),
}  # fmt: skip


def grey(brightness, seed=0):
    """A noisy picture of this brightness as the bytes of a PNG."""
    noise = np.random.default_rng(seed).normal(brightness, 8, (32, 32, 3))
    content = io.BytesIO()
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(content, format="PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of 100 pictures and their brightness in thousands."""
    folder = tmp_path_factory.mktemp("pictures")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "score"])
        for number in range(100):
            brightness = 30 + 2 * number
            (folder / f"{number}.png").write_bytes(grey(brightness, number))
            writer.writerow([f"{number}.png", brightness * 1000])
    return folder / "train.csv"


@pytest.fixture
def settings(table, tmp_path):
    """settings(base): a job that learns how bright a picture is."""

    def make(base, **changes):
        common = {
            "task": "image-regression",
            "base_model": str(base),
            "model_name": "brightness",
            "data": {"train": str(table)},
            "train": {"epochs": 6, "learning_rate": 3e-3, "batch_size": 8, "precision": "fp32"},
            "gate": {"max_drop": {"int8": 1}},
            "output": tmp_path / "runs",
            "keep_bundle": True,
        }
        return JobSettings(**(common | changes))

    return make


def test_a_number_is_learned_in_the_unit_of_the_data(settings, registry, tmp_path):
    torch.manual_seed(5)
    for part in FAMILIES["vit"]():
        part.save_pretrained(tmp_path / "base")
    plan, sides = prepare_all(settings(tmp_path / "base"), registry, tmp_path / "work")
    taught = teach(plan, sides)
    assert taught.trained.figures["spearman"] > 0.9
    batch = sides[1].batch([0, 1, 2])
    batch.pop("targets")
    with torch.no_grad():
        logits = taught.model.eval()(**batch).logits
    assert 10_000 < logits.min() < logits.max() < 300_000


@pytest.mark.slow
def test_a_number_is_learned_and_answered_in_the_unit_of_the_data(settings, registry, tmp_path):
    torch.manual_seed(5)
    for part in FAMILIES["vit"]():
        part.save_pretrained(tmp_path / "base")
    made = run(settings(tmp_path / "base"), registry)
    assert made.release.evaluations["fp32"].metrics["spearman"] > 0.9
    folder = pull(open_store(registry.uri), "brightness:1", cache=registry.cache).folder
    predictor = open_predictor(folder, variant="fp32")
    files = [grey(60, 900), grey(200, 901)]
    ((dark,), (bright,)) = together = predictor.predict(files)
    assert dark["label"] == "score"
    assert 30_000 < dark["score"] < bright["score"] < 230_000
    assert [predictor.predict([data])[0][0]["score"] for data in files] == pytest.approx(
        [one["score"] for (one,) in together], rel=1e-4
    )
    predictor.close()


def test_dropout_is_refused_where_the_architecture_has_none(settings, registry, tmp_path):
    for part in FAMILIES["resnet"]():
        part.save_pretrained(tmp_path / "base")
    with pytest.raises(SettingsError, match=r"^train\.dropout would have no effect: .* resnet have no dropout; remove"):
        run(settings(tmp_path / "base", train={"dropout": 0.3}), registry)


@pytest.mark.slow
def test_what_was_registered_goes_on_from_where_it_ended(settings, registry, tmp_path):
    torch.manual_seed(5)
    for part in FAMILIES["resnet"]():
        part.save_pretrained(tmp_path / "base")
    first = run(settings(tmp_path / "base"), registry).release.evaluations["fp32"].metrics
    still = {"epochs": 1, "learning_rate": 1e-9, "batch_size": 8, "precision": "fp32"}
    again = run(settings("models:/brightness/1", train=still), registry).release.evaluations["fp32"].metrics
    assert first["spearman"] > 0.9
    # The head answers in the unit of the data: it is brought back to numbers of size 1 before it learns on.
    assert again["rmse"] == pytest.approx(first["rmse"], rel=0.5)
