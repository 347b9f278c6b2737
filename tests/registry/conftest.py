"""Small versions to publish and pull."""

import pytest

from tunewright.registry.program import main
from tunewright.registry.versions.publish import publish


@pytest.fixture
def bundle(write):
    """The files of a small version: path in the version -> file."""
    return {
        "model.json": write("bundle/model.json", b'{"task": "text-classification"}'),
        "tokenizer.json": write("bundle/tokenizer.json", b'{"version": "1.0"}'),
        "onnx/fp32/model.onnx": write("bundle/onnx/fp32/model.onnx", b"fp32 weights" * 1000),
        "onnx/int8/model.onnx": write("bundle/onnx/int8/model.onnx", b"int8 weights" * 300),
        "report/metrics.json": write("bundle/report/metrics.json", b"{}"),
    }


@pytest.fixture
def publish_version(bundle):
    """publish_version(store, "run-1") publishes the small version as a version of `reviews`."""

    def make(store, run_id, name="reviews"):
        return publish(store, name, bundle, run_id=run_id, config={"task": "text-classification"})

    return make


@pytest.fixture
def run(capsys):
    """run("list") returns (exit code, standard output, standard error)."""

    def call(*arguments):
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
