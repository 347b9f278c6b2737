"""A run has its folder alone, and what killed processes have left is found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunewright.job.errors import JobError, SettingsError
from tunewright.job.steps.run.folders import local_folder, own_folder, work_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from tunewright.job.steps.run.folders import own_folder, work_folder

output = Path(sys.argv[1])
with work_folder(output) as work, own_folder(output / "run"):
    (work / "rows.arrow").write_bytes(b"rows")
    (output / "run/checkpoints/train/000002.new").mkdir(parents=True)
    (output / "run/checkpoints/train/000001").mkdir()
    (output / "run/checkpoints/train/000002.new/state.json").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_for_work_goes_with_what_is_in_it(tmp_path):
    with work_folder(tmp_path / "runs") as work:
        (work / "rows").mkdir()
    assert list((tmp_path / "runs").iterdir()) == []


def test_where_no_folder_can_be_made_is_said():
    with pytest.raises(SettingsError) as refused, work_folder(Path("/proc/runs")):
        pass
    assert str(refused.value) == "output is '/proc/runs', where no folder can be made; name another one"


def test_what_a_killed_process_has_left_is_swept_and_no_more(tmp_path, capsys):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    (left,) = tmp_path.glob(".work-*")
    (nameless := tmp_path / ".0123abcd").mkdir()
    os.utime(nameless, (0, 0))
    with work_folder(tmp_path) as one:
        assert not left.exists()
        said = f"removed 3 unfinished files or folders of processes that were killed from {tmp_path} (8 bytes)"
        assert said in capsys.readouterr().out
        with work_folder(tmp_path):
            assert one.is_dir()
        assert list((tmp_path / "run/checkpoints/train").iterdir()) == [tmp_path / "run/checkpoints/train/000001"]
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]
    assert capsys.readouterr().out == ""


def test_what_a_run_that_is_under_way_is_writing_stays(tmp_path):
    new = tmp_path / "run/checkpoints/train/000002.new"
    with own_folder(tmp_path / "run"):
        new.mkdir(parents=True)
        with work_folder(tmp_path):
            assert new.is_dir()
    with work_folder(tmp_path):
        assert not new.exists()


def test_runs_of_a_bucket_have_a_folder_of_the_cache(tmp_path):
    assert local_folder(tmp_path / "runs", tmp_path) == tmp_path / "runs"
    one, other = (local_folder(f"s3://bucket/{name}", tmp_path) for name in ("runs/", "others"))
    assert one != other
    assert one == local_folder("s3://bucket/runs", tmp_path)
    assert one.is_relative_to(tmp_path / "runs")


def test_a_run_that_is_under_way_is_not_begun_again(tmp_path):
    folder = tmp_path / "run"
    with own_folder(folder):
        with pytest.raises(JobError) as caught, own_folder(folder):
            pass
        assert folder.is_dir()
    assert str(caught.value) == (
        f"another process is at work on the run in {folder}; wait for it, or give this run a run_id"
    )
    with own_folder(folder):
        (folder / "bundle").mkdir()
    assert list(folder.iterdir()) == [folder / "bundle"]
