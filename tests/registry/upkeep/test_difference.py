"""What two versions do not have alike, read from their own files."""

import copy
import json

import pytest

from tunewright.registry.program import main
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish

MODEL = {"labels": ["bad", "good"], "default_variant": "fp32"}
LINEAGE = {
    "run_id": "one",
    "base_model": {"address": "org/small", "digest": "sha256:1"},
    "settings": {"task": "text-classification", "train": {"epochs": 3, "lora": None}, "gate": {"min": {}}},
    "data": {
        "files": {"train": [{"address": "train.csv", "sha256": "aa", "bytes": 9}]},
        "rows": {"train": 70, "test": 20},
        "split_digests": {"train": "t1", "test": "t2"},
        "left_out_rows": {},
    },
    "packages": {"torch": "2.13.0"},
    "hardware": {"gpu": None},
}
METRICS = {
    "test": {
        "fp32": {"metrics": {"accuracy": 0.9, "mcc": 0.8}, "intervals": {"accuracy": [0.8, 0.95]}, "ms_per_text": 3.0}
    }
}


@pytest.fixture
def versions(tmp_path, monkeypatch):
    """versions(change): `m:1`, and `m:2` whose files were changed by a function; what `diff` says of the two."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    store = open_store(str(tmp_path / "registry"))

    def make(change):
        before = {
            "model.json": MODEL,
            "lineage.json": LINEAGE,
            "report/metrics.json": METRICS,
            "onnx/fp32/model.onnx": 1,
        }
        after = copy.deepcopy(before)
        change(after)
        for number, files in enumerate((before, after), 1):
            paths = {}
            for name, content in files.items():
                paths[name] = tmp_path / f"{number}-{name.replace('/', '-')}"
                paths[name].write_text(content if isinstance(content, str) else json.dumps(content))
            publish(store, "m", paths, run_id=f"run-{number}")

    return make


def everything(files):
    files["model.json"]["labels"] = ["bad", "fine", "good"]
    lineage = files["lineage.json"]
    lineage["run_id"] = "two"
    lineage["base_model"]["digest"] = "sha256:2"
    lineage["settings"]["train"] = {"epochs": 5, "lora": {"rank": 8}}
    lineage["data"]["files"]["train"][0]["sha256"] = "bb"
    lineage["data"]["rows"]["train"] = 90
    lineage["packages"]["torch"] = "2.14.0"
    fp32 = files["report/metrics.json"]["test"]["fp32"]
    fp32["metrics"]["accuracy"], fp32["intervals"]["accuracy"] = 0.95, [0.9, 0.99]
    files["onnx/fp32/model.onnx"] = "longer"


def test_each_part_tells_what_has_changed_and_nothing_else(versions, capsys):
    versions(everything)
    assert main(["diff", "m:1", "m:2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [tuple(change.values()) for change in told["changes"]] == [
        ("base model", "digest", "sha256:1", "sha256:2"),
        ("settings", "train.epochs", 3, 5),
        ("settings", "train.lora.rank", None, 8),
        ("data", "rows.train", 70, 90),
        ("data", "train train.csv", "aa", "bb"),
        ("made with", "torch", "2.13.0", "2.14.0"),
        ("labels", "fine", None, "there"),
        ("figures", "fp32 accuracy", "0.9000 (0.8000 to 0.9500)", "0.9500 (0.9000 to 0.9900)"),
        ("files", "onnx/fp32/model.onnx", 1, 6),
    ]
    assert told["remarks"] == []


def test_a_person_reads_a_table(versions, capsys):
    versions(lambda files: files["lineage.json"]["settings"]["train"].update(epochs=5, lora={"rank": 8}))
    assert main(["diff", "m:1", "m:2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ABOUT     WHAT             m:1  m:2",
        "settings  train.epochs     3    5",
        "settings  train.lora.rank  -    8",
    ]


def test_figures_of_other_test_rows_are_remarked(versions, capsys):
    def others(files):
        files["lineage.json"]["data"]["split_digests"]["test"] = "t3"
        files["report/metrics.json"]["test"]["fp32"]["ms_per_text"] = 2.0

    versions(others)
    assert main(["diff", "m:1", "m@latest", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "before": "m:1",
        "after": "m:2",
        "changes": [{"about": "figures", "name": "fp32 ms_per_text", "before": 3.0, "after": 2.0}],
        "remarks": ["the test rows are not the same: figures that differ may do so for that alone"],
    }


def test_versions_that_are_alike_or_of_other_programs_are_told(versions, capsys):
    versions(lambda files: files["lineage.json"].update(run_id="two"))
    assert main(["diff", "m:1", "m:2"]) == 0
    assert capsys.readouterr().out == "m:1 and m:2 differ in nothing that their files tell\n"


def test_what_another_program_has_made_lacks_the_files(versions, capsys):
    def bare(files):
        del files["lineage.json"], files["report/metrics.json"]

    versions(bare)
    assert main(["diff", "m:2", "m:1"]) == 0
    told = capsys.readouterr().out
    assert "note: m:2 carries no lineage.json, report/metrics.json: it was not made by a job of this program" in told
    assert "note: the test rows are not the same" in told


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "\0"])
def test_a_file_that_is_no_json_is_told(versions, capsys, content):
    versions(lambda files: files.update({"lineage.json": content}))
    assert main(["diff", "m:1", "m:2"]) == 1
    assert capsys.readouterr().err.startswith("error: lineage.json of m:2 is no JSON: ")
