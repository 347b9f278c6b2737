"""Verification reads every byte where it lies and lists all that is wrong."""

import json

import pytest

from tunewright.registry.errors import NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.verify import sharers, verify, verify_model
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.document import seal
from tunewright.registry.versions.layout import blob_key, move_key, run_key, version_key
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import read_manifest


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


@pytest.fixture
def registry(tmp_path, publish_version, bundle, write):
    """A folder registry of reviews:1 to 3, which share all files but one, with production at 2, and other:1."""
    store = open_store(str(tmp_path / "registry"))
    for number in (1, 2, 3):
        files = bundle | {"model.json": write(f"model-{number}", str(number).encode())}
        publish(store, "reviews", files, run_id=f"run-{number}")
    publish_version(store, "run-1", name="other")
    move(store, "reviews", "production", 2)
    return store


def looked(store, name="reviews"):
    """What is said of a model's records, and of each version."""
    faults = []
    found = list(verify_model(store, name, known={}, on_fault=faults.append))
    return faults, {one.version.number: one.problems for one in found}


def test_a_model_is_verified_with_all_that_belongs_to_it(registry):
    assert looked(registry) == ([], {1: (), 2: (), 3: ()})
    assert looked(registry, "other") == ([], {1: ()})


def test_who_else_holds_a_damaged_blob_is_known(registry, tmp_path):
    layers = {layer.path: layer for layer in read_manifest(registry, verify(registry, "reviews:2").version).layers}
    for path in ("model.json", "tokenizer.json"):
        (tmp_path / "registry" / blob_key(layers[path].digest)).write_bytes(b"x" * layers[path].size)
    found = verify(registry, "reviews:2")
    assert found.damaged == (layers["model.json"].digest, layers["tokenizer.json"].digest)
    assert sharers(registry, found.damaged) == {
        layers["model.json"].digest: ["reviews:2"],
        layers["tokenizer.json"].digest: ["other:1", "reviews:1", "reviews:2", "reviews:3"],
    }
    assert [len(problems) for problems in looked(registry)[1].values()] == [1, 2, 1]


def test_records_that_do_not_fit_together_are_told(registry, tmp_path):
    folder = tmp_path / "registry"
    (folder / version_key("reviews", 1)).unlink()
    (folder / run_key("reviews", "run-1")).write_text("rubbish")
    record = json.loads((folder / version_key("reviews", 2)).read_text())
    del record["sha256"]
    other = json.loads((folder / version_key("other", 1)).read_text())["digest"]
    (folder / version_key("reviews", 2)).write_bytes(seal(record | {"digest": other}))
    faults, _ = looked(registry)
    assert faults[0] == f"the record of reviews:1 is not in {registry.uri}, and nothing tells that it was deleted"
    assert faults[1] == (
        f"reviews:3 was published after reviews:2 with the manifest {record['digest']}, and the record of reviews:2 in "
        f"{registry.uri} names {other}: one of them was exchanged"
    )
    assert faults[2].startswith(f"reviews@production points at version 2 with the manifest {record['digest']}")
    assert faults[3].startswith(f"{run_key('reviews', 'run-1')!r} in {registry.uri} is not a valid JSON document")
    assert len(faults) == 4
    (folder / move_key("reviews", "production", 1)).write_text("rubbish")
    assert len(looked(registry)[0]) == 4


def test_a_bit_that_flips_on_the_way_accuses_nobody(faulty_uri, faults, publish_version):
    store = open_store(faulty_uri)
    version = publish_version(store, "run-1")
    manifest = read_manifest(store, version)
    fault = faults.inject("flip", "GET", manifest.layers[0].digest.removeprefix("sha256:"))
    assert (verify(store, version).problems, fault.seen) == ((), 1)
