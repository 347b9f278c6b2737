"""Pulling one variant only."""

import pytest

from tunewright.registry.errors import NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish
from tunewright.serving.bundle.fetch import fetch
from tunewright.serving.errors import BundleError


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
    publish(store, "reviews", bundle | {"report/report.html": page, "report/metrics.json": page}, run_id="run-2")
    for asked, told in ((False, set()), (True, {"report/report.html"})):
        pulled, _ = fetch(store, "reviews:2", cache=tmp_path / f"cache-{asked}", report=asked)
        assert {name for name in files(pulled.folder) if name.startswith("report/")} == told
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
