"""Provenance and bill of materials, in the forms of in-toto, SLSA and CycloneDX."""

import hashlib
import json
from importlib import metadata

import pytest

from tunewright.job.report.provenance import provenance
from tunewright.job.report.sbom import sbom
from tunewright.registry.versions.publish import describe

FACTS = {
    "run_id": "run-1",
    "settings": {"model_name": "reviews", "train": {"epochs": 3}},
    "base_model": {"address": "org/base", "digest": f"sha256:{'a' * 64}", "licence": "apache-2.0"},
    "data": {"files": {"train": [{"address": "s3://bucket/train.csv", "sha256": "b" * 64}], "test": []}},
    "plug_ins": {},
    "hardware": {"machine": "x86_64"},
    "packages": {"tunewright": "0.1.0"},
    "code": "c" * 40,
    "times": {"started": 1_000_000_000.25, "seconds": 60.0},
}


def test_the_statement_is_about_every_file_of_the_version(write):
    told = provenance(FACTS, describe({"onnx/a": write("a", b"graph"), "model.json": write("model.json", b"{}")}))
    assert (told["_type"], told["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    assert told["subject"] == [
        {"name": "model.json", "digest": {"sha256": hashlib.sha256(b"{}").hexdigest()}},
        {"name": "onnx/a", "digest": {"sha256": hashlib.sha256(b"graph").hexdigest()}},
    ]


def test_it_tells_what_the_run_was_given_and_when():
    predicate = provenance(FACTS, [])["predicate"]
    definition, run = predicate["buildDefinition"], predicate["runDetails"]
    assert definition["externalParameters"] == {"settings": FACTS["settings"]}
    assert [(one["name"], one["digest"]) for one in definition["resolvedDependencies"]] == [
        ("org/base", {"sha256": "a" * 64}),
        ("s3://bucket/train.csv", {"sha256": "b" * 64}),
        ("tunewright", {"gitCommit": "c" * 40}),
    ]
    assert definition["resolvedDependencies"][0]["annotations"]["licence"] == "apache-2.0"
    assert definition["buildType"].startswith("urn:")
    assert run["builder"] == {"id": "urn:tunewright:job", "version": {"tunewright": "0.1.0"}}
    assert run["metadata"] == {
        "invocationId": "run-1",
        "startedOn": "2001-09-09T01:46:40Z",
        "finishedOn": "2001-09-09T01:47:40Z",
    }


def test_the_bill_of_materials_holds_base_model_data_and_every_package():
    told = sbom(FACTS)
    base, data, *packages = told["components"]
    assert (base["type"], base["name"]) == ("machine-learning-model", "org/base")
    assert base["licenses"] == [{"license": {"name": "apache-2.0"}}]
    assert (data["type"], data["name"], data["hashes"]) == (
        "data",
        "s3://bucket/train.csv",
        [{"alg": "SHA-256", "content": "b" * 64}],
    )
    found = {one["name"].lower(): one for one in packages}
    assert found["pydantic"]["version"] == metadata.version("pydantic")
    assert found["pydantic"]["purl"] == f"pkg:pypi/pydantic@{metadata.version('pydantic')}"
    assert found["pydantic"]["licenses"] == [{"license": {"name": "MIT"}}]
    refs = [one["bom-ref"] for one in told["components"]]
    assert len(set(refs)) == len(refs)
    assert told["dependencies"] == [{"ref": "model", "dependsOn": refs}]
    # The same run has the same number, however often it is tried.
    assert told["serialNumber"] == sbom(FACTS)["serialNumber"]


IMPORTED = FACTS | {"imported": {"address": "org/base", "files": {"config.json": "d" * 64}}}


def test_both_say_of_which_files_a_model_was_imported():
    definition = provenance(IMPORTED, [])["predicate"]["buildDefinition"]
    model, file, *_ = definition["resolvedDependencies"]
    assert model["annotations"]["role"] == "imported model"
    assert (file["name"], file["digest"]) == ("org/base/config.json", {"sha256": "d" * 64})
    held = sbom(IMPORTED)["components"][0]
    assert held["description"].startswith("the model that was imported;")
    assert held["properties"] == [{"name": "tunewright:sha256:config.json", "value": "d" * 64}]


def test_cyclonedx_itself_finds_nothing_wrong():
    validation = pytest.importorskip("cyclonedx.validation.json", reason="the extra dev has cyclonedx-python-lib")
    from cyclonedx.schema import SchemaVersion

    bare = FACTS | {"base_model": {"address": "base", "digest": f"sha256:{'a' * 64}"}}
    for facts in (FACTS, bare, IMPORTED):
        assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(sbom(facts))) is None


def test_a_version_carries_both(made):
    folder = made("single").pulled()
    told = json.loads((folder / "provenance.json").read_text())
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {one["name"] for one in told["subject"]} == files - {"provenance.json"}
    for one in told["subject"]:
        assert hashlib.sha256((folder / one["name"]).read_bytes()).hexdigest() == one["digest"]["sha256"]
    assert json.loads((folder / "sbom.json").read_text())["specVersion"] == "1.6"
