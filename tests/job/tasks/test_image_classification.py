"""Image classification: files read, taught, measured and served as the pipeline answers."""

import base64
import csv
import io
import json
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from bombs import write_bundle
from PIL import Image
from transformers import (
    BeitConfig,
    BeitForImageClassification,
    BeitImageProcessor,
    BitImageProcessor,
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextImageProcessor,
    Dinov2Config,
    Dinov2ForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    Swinv2Config,
    Swinv2ForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    pipeline,
)

from tunewright.job.data.check import check
from tunewright.job.data.columns import read_roles
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.errors import BaseModelError, DataError
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.teach import teach
from tunewright.job.tasks import TASKS
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull
from tunewright.serving.errors import InputError
from tunewright.serving.predictor import open_predictor
from tunewright.serving.tasks import TASKS as ANSWERED

TASK = TASKS["image-classification"]
COLOURS = ["red", "green", "blue"]
SMALL = {"height": 32, "width": 32}
FAMILIES = {
    "vit": lambda: (
        ViTForImageClassification(
            ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32,
                      patch_size=8)
        ),
        ViTImageProcessor(size=SMALL),
    ),
    "swin": lambda: (
        SwinForImageClassification(
            SwinConfig(image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4)
        ),
        ViTImageProcessor(size=SMALL),
    ),
    "resnet": lambda: (
        ResNetForImageClassification(
            ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic")
        ),
        ConvNextImageProcessor(size={"shortest_edge": 32}),
    ),
    "convnext": lambda: (
        ConvNextForImageClassification(ConvNextConfig(hidden_sizes=[16, 32, 32, 32], depths=[1, 1, 1, 1])),
        ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875),
    ),
    "beit": lambda: (
        BeitForImageClassification(
            BeitConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32,
                       patch_size=8, use_relative_position_bias=True)
        ),
        BeitImageProcessor(size=SMALL, do_center_crop=False),
    ),
    "dinov2": lambda: (
        Dinov2ForImageClassification(
            Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=48, patch_size=8)
        ),
        BitImageProcessor(size={"shortest_edge": 40}, crop_size=SMALL),
    ),
    "swinv2": lambda: (
        Swinv2ForImageClassification(
            Swinv2Config(image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4)
        ),
        ViTImageProcessor(size=SMALL),
    ),
}  # fmt: skip


def test_every_architecture_that_is_accepted_has_a_tiny_model_here():
    assert set(FAMILIES) == set(TASK.graph.architectures)


@pytest.fixture(scope="module")
def make_base(tmp_path_factory):
    """make_base("vit"): a folder with a tiny model of that family."""

    def make(family):
        folder = tmp_path_factory.mktemp(family)
        torch.manual_seed(5)
        model, processor = FAMILIES[family]()
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def table(tmp_path_factory, picture):
    """A table of 90 pictures: paths and colours."""
    folder = tmp_path_factory.mktemp("pictures")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label"])
        for number in range(90):
            colour = COLOURS[number % 3]
            (folder / f"{number}.png").write_bytes(picture(colour, number))
            writer.writerow([f"{number}.png", colour])
    return folder / "train.csv"


def job(table, folder, base, **changes):
    """A job that learns to tell colours."""
    common = {
        "task": "image-classification",
        "base_model": str(base),
        "model_name": "colours",
        "data": {"train": str(table)},
        "train": {"epochs": 3, "learning_rate": 3e-3, "batch_size": 8, "precision": "fp32"},
        "gate": {"max_drop": {"int8": 1}},
        "output": str(folder / "runs"),
        "keep_bundle": True,
    }
    return JobSettings(**(common | changes))


@pytest.fixture
def settings(table, tmp_path):
    """settings(base): such a job of the test's own."""
    return lambda base, **changes: job(table, tmp_path, base, **changes)


@pytest.fixture(scope="module")
def taught(make_base, table, tmp_path_factory):
    """taught("vit"): the finished run of that family, made once, and the folder of the version, pulled."""

    @cache
    def make(family):
        folder = tmp_path_factory.mktemp(family)
        registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
        made = run(job(table, folder, make_base(family), export={"neighbours": 9}), registry)
        return made, pull(open_store(registry.uri), "colours:1", cache=registry.cache).folder

    return make


def test_colours_are_learned(make_base, settings, registry, tmp_path):
    taught = teach(*prepare_all(settings(make_base("vit")), registry, tmp_path / "work"))
    assert taught.trained.figures["accuracy"] > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_taught_registered_and_answers_as_the_pipeline(taught, family, picture):
    made, folder = taught(family)
    assert made.release.evaluations["fp32"].metrics["accuracy"] > 0.6
    predictor = open_predictor(folder, variant="fp32")
    files = [picture("red", 900), picture("blue", 901, size=(17, 90)), picture("green", 902, size=(300, 200))]
    inputs, _ = ANSWERED["image-classification"].read_inputs(
        [base64.b64encode(data).decode() for data in files], predictor.model
    )
    together = predictor.predict(inputs)
    answering = pipeline("image-classification", str(folder / "weights"), use_fast=False)
    for data, answer in zip(files, together, strict=True):
        expected = {one["label"]: one["score"] for one in answering(Image.open(io.BytesIO(data)), top_k=3)}
        assert {one["label"]: one["score"] for one in answer} == pytest.approx(expected, abs=1e-4)
    alone = [predictor.predict([one])[0] for one in inputs]
    assert [one["score"] for answer in alone for one in answer] == pytest.approx(
        [one["score"] for answer in together for one in answer], abs=1e-5
    )
    kept = predictor.neighbours
    assert sorted(kept.row(number)["label"] for number in range(9)) == sorted(3 * COLOURS)
    assert list(kept.row(0)) == ["row", "label", "sha256"]
    assert kept.nearest(predictor.vectors(inputs[:1])[0], 1)[0]["similarity"] > 0.5
    predictor.close()


@pytest.mark.always
@pytest.mark.slow
def test_a_table_may_hold_the_bytes_of_the_files(make_base, settings, registry, tmp_path, picture):
    colours = [COLOURS[number % 3] for number in range(60)]
    files = [{"bytes": picture(colour, number), "path": None} for number, colour in enumerate(colours)]
    pq.write_table(pa.table({"image": files, "label": colours}), tmp_path / "train.parquet")
    made = run(settings(make_base("vit"), data={"train": str(tmp_path / "train.parquet")}), registry)
    assert made.version.number == 1
    golden = made.release.model.golden
    assert golden
    assert base64.b64decode(golden[0].inputs) in {file["bytes"] for file in files}


@pytest.fixture
def faults(tmp_path):
    """faults(rows): what is said about rows of a JSON file."""

    def make(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        data = DataSettings(train=str(path))
        file = SourceFile(str(path), path, "0" * 64, path.stat().st_size)
        with pytest.raises(DataError) as caught:
            check([file], TASK, read_roles(data, TASK.forms), data, tmp_path / "rows.arrow")
        return str(caught.value)

    return make


def test_a_file_that_is_not_there_or_no_image_is_named_with_its_row(faults, tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    assert "gone.png" in faults({"image": "gone.png", "label": "a"})
    assert "column 'image': the content is not an image that can be read; send" in faults(
        {"image": "text.png", "label": "a"}
    )
    assert "line 1: value 7: column 'image'" in faults({"image": 7, "label": "a"})
    assert "/etc/hostname" in faults({"image": "/etc/hostname", "label": "a"})


def test_a_base_model_without_its_preprocessing_is_refused(make_base, settings, registry):
    base = make_base("vit")
    (base / "preprocessor_config.json").unlink()
    with pytest.raises(BaseModelError, match=r"has no preprocessor_config\.json .*AutoProcessor"):
        run(settings(base), registry)


def test_a_request_that_is_no_image_is_refused_with_its_place(tmp_path):
    write_bundle(tmp_path, "image")
    predictor = open_predictor(tmp_path)
    read = ANSWERED["image-classification"].read_inputs
    with pytest.raises(InputError, match=r"^inputs\[1\] is 7; send a file in base64"):
        read(["aGk=", 7], predictor.model)
    with pytest.raises(InputError, match=r"^input 0: the content is not an image"):
        predictor.predict(read("aGk=", predictor.model)[0])
    predictor.close()


def test_a_row_without_a_file_is_left_out_on_request_whatever_its_label_is(tmp_path, picture):
    (tmp_path / "a.png").write_bytes(picture("red", 1))
    rows = [{"image": "a.png", "label": "red"}, {"image": None, "label": None}, {"image": "", "label": 1.5}]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    data = DataSettings(train=str(path), drop_empty=True)
    file = SourceFile(str(path), path, "0" * 64, path.stat().st_size)
    checked = check([file], TASK, read_roles(data, TASK.forms), data, tmp_path / "rows.arrow")
    assert (checked.data.targets(), checked.dropped) == ([["red"]], 2)
