"""Pulling one variant only."""

import pytest

from tunewright.registry.errors import NotFound
from tunewright.registry.stores.store import open_store
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


def test_the_version_that_was_resolved_is_named(store, tmp_path):
    pulled, _ = fetch(store, "reviews", cache=tmp_path)
    assert str(pulled.version) == "reviews:1"


def test_a_variant_that_is_not_there_is_refused_before_it_is_pulled(store, tmp_path):
    with pytest.raises(BundleError, match=r"^this version has no variant 'int4': the variants are fp32, int8$"):
        fetch(store, "reviews", cache=tmp_path, variant="int4")


def test_a_model_that_is_not_there_is_the_registrys_error(store, tmp_path):
    with pytest.raises(NotFound):
        fetch(store, "nobody", cache=tmp_path)
