"""The last runs, side by side."""

import json

import pytest

from tunewright.job.commands.runs import differing, main_figure, read_runs, sparkline
from tunewright.job.errors import DataError
from tunewright.job.program import main
from tunewright.job.progress.record import RunRecord
from tunewright.registry.stores.store import open_store


def run_of(name, started, **changes):
    settings = {"train.epochs": "3", "train.seed": "1", "output": name} | changes.pop("settings", {})
    return RunRecord(run_id=name, model="reviews", settings=settings, started=started, **changes)


ENDED = {
    "status": "finished",
    "seconds": 75.0,
    "tags": {"version": "7", "headline": "accuracy", "variant": "int8"},
    "figures": {"test/fp32/accuracy": 0.92, "test/int8/accuracy": 0.91, "validation/accuracy": 0.9},
    "losses": [(1, 2.0), (2, 1.5), (3, 1.0)],
}
FAILED = {"status": "failed", "seconds": 3700.0, "figures": {"train/loss": 1.0, "validation/accuracy": 0.5}}


@pytest.fixture
def place(tmp_path, request):
    """Two runs in the store at an address."""

    def put(uri):
        store = open_store(uri)
        for one in (run_of("a1", 1000.0, **ENDED), run_of("b2", 2000.0, settings={"train.epochs": "5"}, **FAILED)):
            (tmp_path / "one.json").write_text(one.model_dump_json())
            store.upload(f".runs/{one.run_id}.json", tmp_path / "one.json")
        return uri

    return put


def test_the_newest_run_comes_first(place, tmp_path, s3_uri):
    for uri in (str(tmp_path / "runs"), s3_uri):
        assert [one.run_id for one in read_runs(place(uri), last=9)] == ["b2", "a1"]
    assert [one.run_id for one in read_runs(uri, last=1)] == ["b2"]


def test_a_place_without_runs_is_told(tmp_path):
    with pytest.raises(DataError) as caught:
        read_runs(str(tmp_path), last=9)
    assert str(caught.value) == (
        f"{tmp_path}: no run has left a record there; name the output of a job, a folder or s3://"
    )
    (tmp_path / ".runs").mkdir()
    (tmp_path / ".runs/x.json").write_text("{}")
    with pytest.raises(DataError, match=r"x\.json is no record of a run; remove it"):
        read_runs(str(tmp_path), last=9)


def test_the_figure_of_the_served_file_decides():
    assert main_figure(run_of("a", 0.0, **ENDED)) == ("accuracy", 0.91)
    assert main_figure(run_of("a", 0.0, **FAILED)) == ("validation/accuracy", 0.5)
    assert main_figure(run_of("a", 0.0)) is None


def test_settings_that_make_another_version_differ():
    assert differing([run_of("a", 0.0), run_of("b", 1.0, settings={"train.seed": "2"})]) == ["train.seed"]


def test_a_curve_is_drawn_from_its_lowest_to_its_highest():
    assert sparkline([(1, 8.0), (2, 1.0), (3, 4.0)]) == "█▁▄"
    assert sparkline([(step, float(step)) for step in range(160)]) == "▁▁▂▂▃▃▄▄▅▅▆▆▇▇██"
    assert (sparkline([]), sparkline([(1, 1.0)]), sparkline([(1, float("nan"))])) == ("", "▁", "")


def test_the_command_shows_a_table_or_json(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("tunewright.job.signals.leave_at_once", lambda: None)
    monkeypatch.setattr("tunewright.job.signals.unwind", lambda: None)
    uri = place(str(tmp_path / "runs"))
    assert main(["runs", uri]) == 0
    shown = capsys.readouterr().out
    for cell in (
        "reviews:7",
        "1970-01-01 00:16",
        "accuracy 0.9100",
        "1 min 15 s",
        "1 h 1 min",
        "█▅▁",
        "train.epochs 5",
    ):
        assert cell in shown
    assert main(["runs", uri, "--json", "--last", "1"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["run_id"], one["metric"], one["value"], one["status"]) == ("b2", "validation/accuracy", 0.5, "failed")
