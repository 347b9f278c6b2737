"""Versions that Tunewright 0.1.0 registered (write.py made them) load, serve and replay, and can be learned from."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from pipelines import Writer
from transformers import AutoTokenizer

from tunewright.job.model.base_model import fetch_base_model
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull
from tunewright.serving.golden import replay
from tunewright.serving.predictor import open_predictor

HERE = Path(__file__).parent
ANSWERS = json.loads((HERE / "answers.json").read_text())
VARIANTS = [(name, variant) for name, found in ANSWERS.items() for variant in found]


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """Settings of the registry, unpacked, with a cache of its own."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(HERE / "registry.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")


@pytest.fixture
def opened(registry):
    """opened("chat", "int8"): a version's predictor and its folder, closed after the test."""
    predictors = []

    def open_it(name, variant="fp32"):
        folder = pull(open_store(registry.uri), f"{name}:1", cache=registry.cache).folder
        predictors.append(open_predictor(folder, variant=variant))
        return predictors[-1], folder

    yield open_it
    for one in predictors:
        one.close()


def golden_inputs(predictor):
    return [predictor.task.read_inputs(case.inputs, predictor.model)[0][0] for case in predictor.model.golden]


def require_alike(found, expected, margin):
    """The same answer, but for numbers that differ by at most the margin."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            require_alike(found[name], expected[name], margin)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            require_alike(one, other, margin)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=margin)
    else:
        assert found == expected


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_a_version_of_earlier_replays_its_golden_cases(opened, name, variant):
    predictor, _ = opened(name, variant)
    assert replay(predictor) == len(predictor.model.golden) >= 4


@pytest.mark.parametrize(("name", "variant"), [one for one in VARIANTS if one[1] == "fp32"])
def test_a_version_of_earlier_answers_as_it_did(opened, name, variant):
    predictor, _ = opened(name, variant)
    inputs = golden_inputs(predictor)
    if name == "blanks":
        inputs = [text.replace("saw", "[MASK]") for text in inputs]
    require_alike(predictor.predict(inputs), ANSWERS[name][variant], 1e-4)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_weights_of_a_version_of_earlier_are_a_base_model(registry, name):
    base = fetch_base_model(f"models:/{name}/1", registry, needs=())
    assert base.config()["model_type"] in ("bert", "distilbert", "roberta", "t5", "llama", "vit", "wav2vec2")


CLASSES = {
    "sentiment": "SequenceClassification",
    "agreement": "SequenceClassification",
    "stars": "SequenceClassification",
    "names": "TokenClassification",
}


@pytest.mark.parametrize("name", CLASSES)
@torch.no_grad()
def test_transformers_computes_from_the_weights_what_the_version_computes(opened, name):
    predictor, folder = opened(name)
    tokenizer = AutoTokenizer.from_pretrained(folder / "weights")
    model = getattr(transformers, f"AutoModelFor{CLASSES[name]}").from_pretrained(folder / "weights").eval()
    inputs = golden_inputs(predictor)
    for value, output in zip(inputs, predictor.outputs(inputs), strict=True):
        words = {"is_split_into_words": True} if name == "names" else {}
        texts = [value] if isinstance(value, str) or words else list(value)
        found = model(**tokenizer(*texts, return_tensors="pt", **words)).logits[0].numpy()
        np.testing.assert_allclose(found.reshape(output.shape), output, atol=1e-4)


@pytest.mark.parametrize(("name", "key"), [("translator", "translation_text"), ("summary", "summary_text")])
def test_generate_writes_from_the_weights_what_the_version_writes(opened, name, key):
    predictor, folder = opened(name)
    tokenizer = AutoTokenizer.from_pretrained(folder / "weights")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder / "weights")
    inputs = golden_inputs(predictor)
    assert predictor.predict(inputs) == Writer(model, tokenizer, key)(inputs)
