"""What KServe reads: strictly of its own definitions, and the same as an export writes."""

from pathlib import Path

import pytest
import yaml
from crds import refused

from tunewright.registry.export.kserve import objects
from tunewright.registry.versions.record import Version

FOLDER = Path(__file__).parents[2] / "k8s/kserve"


def written(name):
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.fixture
def exported():
    version = Version("reviews", 8, "sha256:" + "0" * 64, "run", "2026-01-31T12:00:00Z", 1)
    return objects(version, "s3://models/kserve/reviews/model", None)


def test_every_object_but_the_service_is_one_that_kserve_knows():
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert {*names, "kustomization.yaml"} == {path.name for path in FOLDER.iterdir()}
    for name in names:
        assert name == "service.yaml" or refused(written(name)) == []
    misspelt = written("storage-container.yaml")
    misspelt["spec"]["container"]["imagePullPolicies"] = "Never"
    [sentence] = refused(misspelt)
    assert sentence.startswith("spec.container: ")
    assert "imagePullPolicies" in sentence


@pytest.mark.slow  # the definition has two megabytes
def test_the_service_is_one_that_kserve_knows(exported):
    for manifest in (written("service.yaml"), exported[1]):
        assert refused(manifest) == []


def test_the_runtime_is_the_one_of_an_export(exported):
    runtime, service = exported
    assert written("runtime.yaml") == runtime
    ours = written("service.yaml")["spec"]["predictor"]["model"]
    theirs = service["spec"]["predictor"]["model"]
    assert ours | {"storageUri": ""} == theirs | {"storageUri": ""}


def test_the_storage_container_is_called_as_kserve_looks_for_it_and_brings_our_addresses():
    spec = written("storage-container.yaml")["spec"]
    container = spec["container"]
    assert (container["name"], container["command"]) == (
        "storage-initializer",
        ["tunewright", "storage-initializer"],
    )
    assert container["image"] == written("runtime.yaml")["spec"]["containers"][0]["image"]
    [prefix] = [one["prefix"] for one in spec["supportedUriFormats"]]
    assert written("service.yaml")["spec"]["predictor"]["model"]["storageUri"].startswith(prefix)
