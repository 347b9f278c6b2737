"""Verification reads every byte where it lies and lists all that is wrong."""

import pytest

from tunewright.registry.errors import NotFound
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.verify import verify


def test_a_whole_version_has_no_problems(store, publish_version):
    version = publish_version(store, "run-1")
    found = verify(store, "reviews")
    assert (found.version, found.files, found.size, found.problems) == (version, 5, version.size, ())


def test_every_damaged_blob_is_listed(store, publish_version, write):
    version = publish_version(store, "run-1")
    layers = {layer.path: layer for layer in read_manifest(store, version).layers}
    same_size = write("a", b"x" * layers["model.json"].size)
    store.upload(blob_key(layers["model.json"].digest), same_size)
    store.upload(blob_key(layers["onnx/fp32/model.onnx"].digest), write("b", b"short"))
    problems = verify(store, "reviews:1").problems
    assert [problem.split(":")[0] for problem in problems] == ["model.json", "onnx/fp32/model.onnx"]
    assert "is damaged, its sha256 is" in problems[0]
    assert "holds 5 bytes, expected 12000" in problems[1]


def test_a_missing_blob_is_listed(tmp_path, publish_version):
    from tunewright.registry.stores.store import open_store

    store = open_store(str(tmp_path / "registry"))
    version = publish_version(store, "run-1")
    layer = read_manifest(store, version).layers[0]
    (tmp_path / "registry" / blob_key(layer.digest)).unlink()
    assert verify(store, "reviews").problems == (f"model.json: the blob {blob_key(layer.digest)!r} is missing",)


def test_a_damaged_manifest_is_listed(store, publish_version, write):
    version = publish_version(store, "run-1")
    store.upload(blob_key(version.digest), write("evil", b"{}"))
    (problem,) = verify(store, "reviews").problems
    assert problem.startswith("the manifest of reviews:1 (")


def test_a_version_that_is_not_there_is_an_error(store):
    with pytest.raises(NotFound, match="there is no model 'reviews' in"):
        verify(store, "reviews:1")
