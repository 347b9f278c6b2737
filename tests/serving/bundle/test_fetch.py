"""Pulling one variant only."""

from pathlib import Path

import pytest

from tunewright.registry.errors import NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.canary import begin
from tunewright.registry.versions.layout import blob_key, move_key
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import read_manifest
from tunewright.registry.versions.watch import has_moved, look, look_at_trial
from tunewright.serving.bundle.fetch import fetch
from tunewright.serving.errors import BundleError

SERVED = {"model.json", "tokenizer.json", "onnx/fp32/model.onnx"}


@pytest.fixture
def store(published):
    return open_store(str(published))


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("wanted", "variant"), [(None, "fp32"), ("int8", "int8")])
def test_only_the_files_of_one_variant_are_pulled(store, tmp_path, wanted, variant):
    pulled, name = fetch(store, "reviews:1", cache=tmp_path, variant=wanted)
    assert name == variant
    assert files(pulled.folder) == {"model.json", "tokenizer.json", f"onnx/{variant}/model.onnx"}


def test_the_report_comes_along_where_it_is_shown(reviews, store, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<p>good</p>")
    bundle = {name: reviews / name for name in files(reviews)}
    told = {"report/report.html": page, "report/metrics.json": page, "sbom.json": page, "provenance.json": page}
    publish(store, "reviews", bundle | told, run_id="run-2")
    for asked, told in ((False, set()), (True, {"report/report.html"})):
        pulled, _ = fetch(store, "reviews:2", cache=tmp_path / f"cache-{asked}", report=asked)
        assert files(pulled.folder) == SERVED | told
    assert (fetch(store, "reviews:1", cache=tmp_path / "cache", report=True)[0].folder / "model.json").exists()


def test_the_version_that_was_resolved_is_named(store, tmp_path):
    pulled, _ = fetch(store, "reviews", cache=tmp_path)
    assert str(pulled.version) == "reviews:1"


def test_a_variant_that_is_not_there_is_refused_before_it_is_pulled(store, tmp_path):
    with pytest.raises(BundleError, match=r"^this version has no variant 'int4': the variants are fp32, int8$"):
        fetch(store, "reviews", cache=tmp_path, variant="int4")


def test_a_model_that_is_not_there_is_the_registrys_error(store, tmp_path):
    with pytest.raises(NotFound):
        fetch(store, "nobody", cache=tmp_path)


@pytest.fixture
def crowded(published, store, reviews, write):
    """The registry's folder: reviews:2 is in production, amid other versions, runs, aliases, a canary and a model."""
    files = {str(path.relative_to(reviews)): path for path in reviews.rglob("*") if path.is_file()}
    publish(store, "reviews", files, run_id="run-2")
    for name, run in (("reviews", "run-3"), ("reviews", "run-4"), ("other", "run-1")):
        publish(store, name, {"model.json": write(run, run.encode())}, run_id=run)
    for alias, number in (("production", 1), ("production", 2), ("staging", 3), ("staging", 4)):
        move(store, "reviews", alias, number)
    begin(store, "reviews", "production", 3, 10)
    return published


def flip(path):
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:] if data else b"rubbish")


def crowd(path):
    """What nobody asked for, beside an object: notes, a number far off, and the next number, of rubbish."""
    for name in ("notes.txt", f"{path.name}.bak", "99999999999999999999.json", f"{5:020d}.json"):
        (path.parent / name).write_text("rubbish")


@pytest.mark.parametrize("harm", [flip, Path.unlink, crowd], ids=["damaged", "removed", "added"])
def test_a_server_needs_nothing_but_its_own_version(crowded, store, tmp_path, harm):
    """Each other object of the registry in turn, what was done to those before stays."""
    version = look(store, "reviews@production").version
    served = {layer.digest for layer in read_manifest(store, version).layers if layer.path in SERVED}
    needed = {move_key("reviews", "production", 2), blob_key(version.digest)}
    needed |= set(map(blob_key, served))
    others = [stat.key for stat in store.list("") if stat.key not in needed]
    assert len(others) > 20
    for number, key in enumerate(others):
        if harm is not crowd or not key.startswith("models/reviews/aliases/production/"):
            harm(crowded / key)
        look_at_trial(store, "reviews@production")
        seen = look(store, "reviews@production")
        pulled, _ = fetch(store, seen.version, cache=tmp_path / f"cache-{number}")
        assert (seen.version, pulled.version, has_moved(store, seen)) == (version, version, False), key
        assert files(pulled.folder) == SERVED
