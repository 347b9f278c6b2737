"""A run has its folder alone, and what killed processes have left is found."""

import subprocess
import sys

import pytest

from tunewright.job.errors import JobError
from tunewright.job.steps.run.folders import own_folder, work_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from tunewright.job.steps.run.folders import own_folder, work_folder

output = Path(sys.argv[1])
with work_folder(output) as work, own_folder(output / "run"):
    (work / "rows.arrow").write_bytes(b"rows")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_for_work_goes_with_what_is_in_it(tmp_path):
    with work_folder(tmp_path / "runs") as work:
        (work / "rows").mkdir()
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_a_killed_process_has_left_is_swept_and_no_more(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    (left,) = tmp_path.glob(".work-*")
    with work_folder(tmp_path) as one:
        assert not left.exists()
        with work_folder(tmp_path):
            assert one.is_dir()
        with own_folder(tmp_path / "run"):
            pass
    assert list(tmp_path.iterdir()) == []


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
