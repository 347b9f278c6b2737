"""Rows that were checked before are used again, unless something has changed."""

import json
import os

import pytest

from tunewright.job.data import reuse
from tunewright.job.data.dataset import ROWS_FILE
from tunewright.job.errors import DataError
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.prepare import prepare

ROWS = "".join(json.dumps({"text": f"text {row}", "label": "good" if row % 2 else "bad"}) + "\n" for row in range(60))
AGAIN = "are as they were when they were last checked, and are used again"


@pytest.fixture
def prepared(write, tmp_path, capsys):
    """prepared(rows, **settings of data): what the job makes of a file, and what it said."""

    def make(rows=ROWS, task="text-classification", **data):
        path = write("train.jsonl", rows.encode())
        settings = JobSettings(model_name="x", task=task, data={"train": str(path), **data})
        capsys.readouterr()
        return prepare(settings, tmp_path / "cache", tmp_path / "work"), capsys.readouterr().out

    return make


def told(said):
    return [json.loads(line)["message"] for line in said.splitlines() if AGAIN not in line]


def all_of(prepared):
    sides = [prepared.part(side) for side in ("train", "validation", "test")]
    return (
        [(part.data.inputs(), part.data.targets(), part.keys.tolist()) for part in sides],
        prepared.labels,
        prepared.facts,
    )


def test_what_has_not_changed_is_used_again_and_says_the_same(prepared):
    odd = ROWS + '{"text": "", "label": "bad"}\n{"text": "more", "label": "NaN"}\n{"text": "most", "label": "NaN"}\n'
    first, said = prepared(odd, drop_empty=True)
    again, repeated = prepared(odd, drop_empty=True)
    assert AGAIN not in said
    assert AGAIN in repeated
    assert any("a label is what tables write for a missing value" in one for one in told(said))
    assert told(repeated) == told(said)
    assert all_of(again) == all_of(first)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": ROWS.replace("text 3", "text three")},
        {"cleaning": {"whitespace": False}},
        {"label_names": {"good": "fine", "bad": "poor"}},
        {"drop_empty": True},
        {"task": "text-generation", "columns": {"text": "text"}},
    ],
)
def test_anything_that_decides_what_the_rows_are_is_read_again(prepared, change):
    prepared()
    assert AGAIN not in prepared(**change)[1]


@pytest.mark.parametrize("data", [{"limit": 40}, {"test_fraction": 0.3}])
def test_which_rows_are_taken_needs_no_reading(prepared, data):
    prepared()
    assert AGAIN in prepared(**data)[1]


def test_other_code_reads_again(prepared, monkeypatch):
    prepared()
    monkeypatch.setattr(reuse, "code_digest", lambda: "other")
    assert AGAIN not in prepared()[1]


@pytest.mark.parametrize("name", [ROWS_FILE, "keys.npy", "checked.json"])
def test_what_is_damaged_is_read_again(prepared, tmp_path, name):
    first = all_of(prepared()[0])
    (path,) = (tmp_path / "cache/rows").glob(f"*/{name}")
    path.write_bytes(path.read_bytes()[:-30])
    again, said = prepared()
    assert AGAIN not in said
    assert all_of(again) == first
    assert AGAIN in prepared()[1]


def test_rows_with_faults_leave_nothing_behind(prepared, tmp_path):
    with pytest.raises(DataError):
        prepared(ROWS + '{"text": 1, "label": "good"}\n')
    assert list((tmp_path / "cache/rows").iterdir()) == []


def test_only_the_last_ones_are_kept(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(reuse, "_KEPT", 2)
    for row in range(4):
        prepared(ROWS.replace("text 1", f"text of {row} "))
    assert len(list((tmp_path / "cache/rows").iterdir())) == 2
    assert AGAIN in prepared(ROWS.replace("text 1", "text of 3 "))[1]


def test_what_a_killed_job_has_left_is_removed_a_day_later(prepared, tmp_path):
    left, fresh = (tmp_path / "cache/rows" / f"{name}.new" for name in ("left", "fresh"))
    for folder in (left, fresh):
        folder.mkdir(parents=True)
    os.utime(left, (0, 0))
    prepared()
    assert (left.exists(), fresh.exists()) == (False, True)


def test_what_is_kept_opens_as_a_data_set(prepared, tmp_path):
    datasets = pytest.importorskip("datasets")
    prepared()
    (folder,) = (tmp_path / "cache/rows").iterdir()
    rows = datasets.load_from_disk(str(folder))
    assert rows[0] == {"input": "text 0", "target": ["bad"], "place": 1}
    assert len(rows) == 60
