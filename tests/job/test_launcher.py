"""The whole program in several processes."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.record import version_numbers

pytestmark = pytest.mark.slow
TRAIN = {"epochs": 3, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32", "checkpoint": {"steps": 1}}


@pytest.fixture
def start(make_settings, tmp_path):
    """start(PET_NNODES="2") starts `tunewright train` on a small job; `before` is the beginning of its command."""
    settings = make_settings(train=TRAIN, export={"variants": ["fp32"], "explained_rows": 0})
    (tmp_path / "job.json").write_text(settings.model_dump_json(exclude_unset=True))
    started = []

    def run(*before, **environment):
        own = {"REGISTRY_URI": "registry", "REGISTRY_CACHE": "cache", "JOB_OUTPUT": "runs"}
        own = {name: str(tmp_path / value) for name, value in own.items()} | {"OMP_NUM_THREADS": "1"} | environment
        command = [*before, sys.executable, "-m", "tunewright", "train", "--config", str(tmp_path / "job.json")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=tmp_path, env=os.environ | own, **pipes))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()
        process.communicate()


def rank_of(process):
    return process.environ().get("RANK")


def events(out):
    return [json.loads(line) for line in out.splitlines()]


def test_a_process_that_is_killed_ends_all_and_one_process_goes_on(start, tmp_path):
    launcher = start(PET_NPROC_PER_NODE="2")
    until = time.monotonic() + 240
    while not list(tmp_path.glob("runs/*/checkpoints/train/0*/manifest.json")):
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    [second] = [one for one in psutil.Process(launcher.pid).children(recursive=True) if rank_of(one) == "1"]
    second.kill()
    out, said = launcher.communicate(timeout=240)
    assert launcher.returncode == 137
    lost, cause = said.splitlines()
    assert lost.startswith("error: rank 0 of 2 has lost another one, which was killed or cannot be reached (")
    assert cause == "error: rank 1 was ended by SIGKILL (often for want of memory); the same job may run again"
    told = [one["message"] for one in events(out) if "message" in one]
    assert len(told) == len(set(told))
    alone = start()
    out, said = alone.communicate(timeout=240)
    assert (said, alone.returncode) == ("", 0)
    assert any("the run goes on from" in one.get("message", "") for one in events(out))
    assert version_numbers(open_store(str(tmp_path / "registry")), "tiny") == [1]
