"""What two versions do not have alike, read from their own files."""

import copy
import gzip
import hashlib
import json

import pytest

from tunewright.registry.program import main
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.record import Summary

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

    def make(change, more=None):
        before = {
            "model.json": MODEL,
            "lineage.json": LINEAGE,
            "report/metrics.json": METRICS,
            "onnx/fp32/model.onnx": 1,
            **(more or {}),
        }
        after = copy.deepcopy(before)
        change(after)
        for number, files in enumerate((before, after), 1):
            paths = {}
            for name, content in files.items():
                paths[name] = tmp_path / f"{number}-{name.replace('/', '-')}"
                data = content if isinstance(content, bytes | str) else json.dumps(content)
                paths[name].write_bytes(data if isinstance(data, bytes) else data.encode())
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
        "rows": None,
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
    assert "test rows are not the same" not in told
    assert ["files", "lineage.json", "-"] in [line.split()[:3] for line in told.splitlines()]


@pytest.fixture
def forests(tmp_path, monkeypatch):
    """forests(files, task, metrics) publishes a next version as `tunewright publish` does of another framework."""
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    made = []

    def make(files, *said):
        folder = tmp_path / f"forest-{len(made)}"
        folder.mkdir()
        made.append(folder)
        for name, text in files.items():
            (folder / name).write_text(text)
        assert main(["publish", str(folder), "--name", "forest", *said]) == 0

    return make


def test_versions_of_other_frameworks_are_compared_by_files_and_by_what_was_said(forests, tmp_path, capsys):
    forests(
        {"a.bin": "one", "b.bin": "one", "c.txt": "same", "old.txt": "x"},
        *["--task", "regression", "--metric", "rmse=13.047847503912635", "--metric", "r2=0.9"],
    )
    forests(
        {"a.bin": "two", "b.bin": "longer", "c.txt": "same", "new.txt": "xyz"},
        *["--task", "forecast", "--metric", "rmse=12.5", "--metric", "r2=0.90001"],
    )
    capsys.readouterr()
    assert main(["diff", "forest:1", "forest:2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    one, two = (f"sha256:{hashlib.sha256(word).hexdigest()}" for word in (b"one", b"two"))
    assert [tuple(change.values()) for change in told["changes"]] == [
        ("config", "task", "regression", "forecast"),
        ("figures", "r2", 0.9, 0.90001),
        ("figures", "rmse", 13.047847503912635, 12.5),
        ("files", "b.bin", 3, 6),
        ("files", "old.txt", 1, None),
        ("files", "new.txt", None, 3),
        ("content", "a.bin", one, two),
    ]
    assert not [remark for remark in told["remarks"] if "test rows are not the same" in remark]
    page = tmp_path / "diff.html"
    assert main(["diff", "forest:1", "forest:2", "--html", str(page)]) == 0
    assert "<td>rmse</td><td>13.05</td><td>12.5</td>" in page.read_text()
    # Figures have four digits, but where these would not tell them apart.
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:8]] == [
        ["config", "task", "regression", "forecast"],
        ["figures", "r2", "0.9", "0.90001"],
        ["figures", "rmse", "13.05", "12.5"],
        ["files", "b.bin", "3", "6"],
        ["files", "old.txt", "1", "-"],
        ["files", "new.txt", "-", "3"],
        ["content", "a.bin", one[:19], two[:19]],
    ]


def test_a_figure_in_the_record_alone_is_compared_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model.bin").write_text("one")
    for number, value in enumerate((0.5, 0.6), 1):
        paths, summary = {"model.bin": tmp_path / "model.bin"}, Summary("ranking", "ndcg", value)
        publish(open_store(str(tmp_path / "registry")), "m", paths, run_id=f"run-{number}", summary=summary)
    assert main(["diff", "m:1", "m:2", "--json"]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert changes == [{"about": "figures", "name": "ndcg", "before": 0.5, "after": 0.6}]


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "\0"])
def test_a_file_that_is_no_json_is_told(versions, capsys, content):
    versions(lambda files: files.update({"lineage.json": content}))
    assert main(["diff", "m:1", "m:2"]) == 1
    assert capsys.readouterr().err.startswith("error: lineage.json of m:2 is no JSON: ")


OUTCOMES = "report/outcomes.jsonl.gz"


def outcomes(*rows, score="share that is right", metric="accuracy"):
    """Rows as their key, what is true, the answer and its score."""
    head = {"format": 1, "metric": metric, "score": score, "variants": ["fp32"], "columns": [], "test_rows": len(rows)}
    lines = [head | {"in_training": 0}]
    lines += [{"row": f"{key:016x}", "true": true, "fp32": [answer, reached]} for key, true, answer, reached in rows]
    return gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode(), mtime=0)


@pytest.fixture
def answered(versions):
    """Two versions that have answered five rows, of which the second knows a sixth."""

    def change(files):
        files[OUTCOMES] = outcomes(
            (1, "good", "good", 1),
            (2, "good", "<b>", 0),
            (3, "bad", "bad", 1),
            (4, "bad", "fine", 0),
            (5, "good", "good", 1),
            (6, "good", "good", 1),
        )

    before = outcomes(
        (5, "good", "bad", 0), (4, "bad", "good", 0), (3, "bad", "bad", 1), (2, "good", "good", 1), (1, "x", "x", 1)
    )
    versions(change, {OUTCOMES: before})


def test_rows_that_went_otherwise_are_counted_and_told_one_by_one(answered, capsys):
    assert main(["diff", "m:1", "m:2"]) == 0
    said = (
        "rows: of 4 test rows that both were measured on 1 went better, 1 worse and 1 otherwise: share that is right "
        "+0.0000 (95 % interval -0.6533 to +0.6533, McNemar's p 1); of 1 more something else is true now"
    )
    assert capsys.readouterr().out.splitlines() == ["m:1 and m:2 differ in nothing that their files tell", said]
    assert main(["diff", "m:1", "m:2", "--rows"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "ROW  INPUT             TRUE  m:1   m:2   CHANGE  BY",
        "1    0000000000000002  good  good  <b>   worse   -1",
        "3    0000000000000004  bad   good  fine  other   +0",
        "4    0000000000000005  good  bad   good  better  +1",
    ]
    assert main(["diff", "m:1", "m:2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = told["rows"]
    assert [rows[name] for name in ("shared", "retold", "better", "worse", "other", "p_value")] == [4, 1, 1, 1, 1, 1.0]
    assert rows["changed"][0] == {
        "row": 1,
        "key": "0000000000000002",
        "true": "good",
        "before": "good",
        "after": "<b>",
        "change": "worse",
        "gained": -1.0,
    }


def test_a_page_holds_all_of_it_and_shows_what_stands_in_versions_as_text(answered, tmp_path, capsys):
    path = tmp_path / "diff.html"
    assert main(["diff", "m:1", "m:2", "--html", str(path)]) == 0
    html = path.read_text()
    assert html.startswith("<!doctype html>")
    assert "<td>&lt;b&gt;</td><td>worse</td><td>-1</td>" in html
    assert "<b>" not in html
    assert "McNemar&#x27;s p 1" in html
    assert "http" not in html
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".diff")] == []
    assert main(["diff", "m:1", "m:2", "--html", str(tmp_path / "none" / "diff.html")]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/none/diff.html cannot be written (No such file or directory); name a file in a folder "
        "where you may write\n"
    )


@pytest.mark.parametrize("place", ["", ".", "/", "-"])
def test_a_page_needs_a_file(versions, capsys, place):
    versions(lambda files: None)
    assert main(["diff", "m:1", "m:2", "--html", place]) == 2
    said = f"error: --html takes a file to write to, not {place or '.'!r}, as in --html diff.html\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("place", "why"),
    [("folder", "Is a directory"), ("file/diff.html", "Not a directory"), ("x" * 300, "File name too long")],
)
def test_a_page_that_cannot_be_written_is_told_in_a_sentence(versions, tmp_path, capsys, place, why):
    versions(lambda files: None)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    path = tmp_path / place
    assert main(["diff", "m:1", "m:2", "--html", str(path)]) == 2
    said = f"error: {path} cannot be written ({why}); name a file in a folder where you may write\n"
    assert capsys.readouterr() == ("", said)
    assert not list(tmp_path.glob(".*.new"))


def test_numbers_are_told_by_how_much_nearer_they_come(versions, capsys):
    rows = [(key, key, key + 1, None) for key in range(8)]
    nearer = [(key, key, key + 0.5, None) for key in range(8)]
    after = outcomes(*nearer, score=None, metric="spearman")
    versions(lambda files: files.update({OUTCOMES: after}), {OUTCOMES: outcomes(*rows, score=None, metric="spearman")})
    assert main(["diff", "m:1", "m:2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["rows"]
    assert (told["figure"], told["difference"], told["better"], told["p_value"]) == ("spearman", 0.0, 8, None)
    assert told["changed"][0]["gained"] == 0.5


def test_rows_that_only_one_keeps_are_remarked(versions, capsys):
    versions(lambda files: files.update({OUTCOMES: outcomes((1, "a", "a", 1))}))
    assert main(["diff", "m:1", "m:2", "--rows"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "rows: the two share no test rows whose answers both keep",
        "note: m:1 carries no report/outcomes.jsonl.gz: single rows are not compared",
    ]
