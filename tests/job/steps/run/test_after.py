"""Nothing that the registry has stays of a run, here or in a bucket, unless that is asked for."""

import pytest

from tunewright.job.checkpoints.mirror import Mirror
from tunewright.job.steps.run.after import leave
from tunewright.registry.stores.store import open_store

LEFT = ["bundle/model.json", "bundle/onnx/int8/model.onnx", "checkpoints/train/000001/manifest.json",
        "rows/dataset_dict.json", "rows/test/state.json", "stages/export.json"]  # fmt: skip


@pytest.fixture
def run(write):
    """The folder of a run that has published."""
    return [write(f"runs/one/{name}", b"x") for name in LEFT] and write("runs/two/rows/x", b"x").parents[2] / "one"


@pytest.fixture
def mirror(tmp_path, run):
    mirror = Mirror(open_store(str(tmp_path / "bucket")), "one")
    mirror.send(run, [name for name in LEFT if not name.startswith("rows")])
    Mirror(open_store(str(tmp_path / "bucket")), "two").send(run, ["bundle/model.json"])
    return mirror


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_rows_alone_stay(run, capsys):
    leave(run, None, keep_bundle=False)
    assert names(run.parent) == ["one/rows/dataset_dict.json", "one/rows/test/state.json", "two/rows/x"]
    assert f"rows of the run stay in {run}; nothing needs them any more" in capsys.readouterr().out


def test_the_bundle_stays_where_asked_without_what_is_no_part_of_the_version(run):
    leave(run, None, keep_bundle=True, left_out=["int8"])
    assert names(run) == ["bundle/model.json", "rows/dataset_dict.json", "rows/test/state.json"]


def test_what_stays_is_in_the_bucket_and_nothing_of_another_run_goes(run, mirror, tmp_path):
    leave(run, mirror, keep_bundle=False)
    assert names(tmp_path / "bucket") == [
        "one/rows/dataset_dict.json", "one/rows/test/state.json", "two/bundle/model.json",
    ]  # fmt: skip
    assert names(run.parent) == ["two/rows/x"]


def test_a_bundle_that_stays_is_whole_in_the_bucket(run, mirror):
    leave(run, mirror, keep_bundle=True)
    assert mirror.within("bundle").names() == ["model.json", "onnx/int8/model.onnx"]


def test_a_bucket_that_is_away_is_told_and_the_version_stands(run, tmp_path, write, capsys):
    write("file", b"no folder")
    leave(run, Mirror(open_store(str(tmp_path / "file")), "one"), keep_bundle=False)
    assert "not all that is done with was removed from " in capsys.readouterr().out
    assert names(run) == ["rows/dataset_dict.json", "rows/test/state.json"]


def test_a_run_that_left_nothing_is_no_trouble(tmp_path):
    leave(tmp_path / "nothing", None, keep_bundle=False)
