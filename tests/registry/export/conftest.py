"""A version by hand that has all that a job puts there, in a few bytes."""

import json

import pytest

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish


@pytest.fixture
def make_version(tmp_path, write, monkeypatch):
    """make_version(task="...") publishes the next version of `reviews` with these fields of model.json."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    store = open_store(str(tmp_path / "registry"))

    def make(*, name="reviews", files=None, without=(), architecture="BertForSequenceClassification", **fields):
        model = {
            "task": "text-classification",
            "problem": "single_label",
            "labels": ["bad", "good"],
            "max_length": 64,
            "cleaning": {"html": False, "nfc": True},
            "variants": {name: {"file": f"onnx/{name}/model.onnx", "temperature": 1.5} for name in ("fp32", "int8")},
            "default_variant": "int8",
            "golden": [{"inputs": "It works.", "outputs": {}}],
        }
        contents = {
            "model.json": json.dumps(model | fields),
            "tokenizer.json": "{}",
            "onnx/fp32/model.onnx": "the graph of fp32",
            "onnx/int8/model.onnx": "the graph of int8",
            "report/README.md": "---\nlibrary_name: onnx\n---\n\n# reviews\n",
            "weights/config.json": json.dumps({"model_type": "bert", "architectures": [architecture]}),
            "weights/model.safetensors": "weights",
            "weights/tokenizer.json": "{}",
            "weights/tokenizer_config.json": json.dumps({"model_max_length": 512}),
        } | (files or {})
        written = {path: write(f"made/{path}", text.encode()) for path, text in contents.items() if path not in without}
        return publish(store, name, written, run_id=f"run-{make.runs()}", config={})

    counted = iter(range(1, 100))
    make.runs = lambda: next(counted)
    return make
