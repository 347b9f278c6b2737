"""Bundles of tiny models for the servers that the hostile tests throw things at."""

import importlib.util
import json
from pathlib import Path

import bombs
import pytest
from target import Target

from tunewright.serving.predictor import open_predictor

TESTS = Path(__file__).parents[1]
# A caller who sends too little is let go after this time, so that the tests do not wait.
SETTINGS = {"SERVING_LIMITS__BODY_SECONDS": "0.5", "SERVING_LIMITS__DEADLINE_SECONDS": "10"}


def load(path):
    """A test file as a module."""
    spec = importlib.util.spec_from_file_location(f"hostile_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


serving = load(TESTS / "serving/conftest.py")
make_bundle = serving.make_bundle


@pytest.fixture(scope="session")
def bundle(make_bundle, tmp_path_factory):
    """bundle("chat") is the folder of a tiny model of that kind: text, pair, chat or image."""

    def make(kind):
        if kind == "text":
            return make_bundle()
        if kind == "pair":
            return make_bundle(serving.Recipe(labels=("no", "maybe", "yes"), pair=True))
        folder = tmp_path_factory.mktemp(kind) / "bundle"
        if kind == "image":
            bombs.write_bundle(folder, kind)
        else:
            folder.mkdir()
            write_chat(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def served(bundle, tmp_path_factory):
    """served("text") is a running server of that kind of model."""
    started = {}

    def serve(kind):
        if kind not in started:
            started[kind] = Target(bundle(kind), tmp_path_factory.mktemp(f"{kind}-server"), **SETTINGS)
        return started[kind]

    yield serve
    for target in started.values():
        target.close()


def write_chat(folder):
    """A GPT-2 whose tokens are letters, with a golden case."""
    generation = load(TESTS / "serving/tasks/test_text_generation.py")
    generation.write_bundle(folder, generation.CHATTY)
    predictor = open_predictor(folder)
    outputs = [float(number) for number in predictor.outputs(["abc"])[0].ravel()]
    predictor.close()
    path = folder / "model.json"
    content = json.loads(path.read_text())
    content["variants"]["fp32"]["golden_tolerance"] = 0.001
    path.write_text(json.dumps(content | {"golden": [{"inputs": "abc", "outputs": {"fp32": outputs}}]}))
