"""The whole program in several processes: on one machine, and on two that are network namespaces of this one."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

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


def test_a_process_that_is_killed_ends_all_and_is_named(start, tmp_path):
    launcher = start(PET_NPROC_PER_NODE="2")
    until = time.monotonic() + 600
    while not list(tmp_path.glob("runs/*/checkpoints/train/0*/manifest.json")):
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    [second] = [one for one in psutil.Process(launcher.pid).children(recursive=True) if rank_of(one) == "1"]
    second.kill()
    out, said = launcher.communicate(timeout=600)
    assert launcher.returncode == 137
    lost, cause = said.splitlines()
    assert lost.startswith("error: rank 0 of 2 has lost another one, which was killed or cannot be reached (")
    assert cause == "error: rank 1 was ended by SIGKILL (often for want of memory); the same job may run again"
    told = [one["message"] for one in events(out) if "message" in one]
    assert len(told) == len(set(told))
    assert version_numbers(open_store(str(tmp_path / "registry")), "tiny") == []


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def nodes():
    """Two network namespaces with a cable between them: the beginnings of commands that run in each."""
    names = [f"tunewright-{os.getpid()}-{number}" for number in range(2)]
    if not shutil.which("ip") or subprocess.run(["ip", "netns", "add", names[0]], capture_output=True).returncode:
        pytest.skip("this machine does not let a test make network namespaces (ip netns, as root)")
    try:
        for name in names:
            # `ip netns exec` puts these in place of the machine's: nobody is asked for names.
            (folder := Path("/etc/netns") / name).mkdir(parents=True)
            (folder / "hosts").write_text("127.0.0.1 localhost\n10.77.0.1 node-0\n10.77.0.2 node-1\n")
            (folder / "resolv.conf").write_text("")
        ip("netns", "add", names[1])
        ip("-n", names[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", names[1])
        for number, name in enumerate(names):
            ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield [("ip", "netns", "exec", name) for name in names]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
            shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)


def test_two_nodes_register_one_version_and_the_first_speaks(start, nodes, tmp_path):
    meet = {
        "PET_NNODES": "2",
        "PET_MASTER_ADDR": "node-0",
        "PET_MASTER_PORT": "29511",
        "GLOO_SOCKET_IFNAME": "cable",
    }
    other = {"REGISTRY_CACHE": str(tmp_path / "other"), "JOB_OUTPUT": str(tmp_path / "elsewhere")}
    first, second = start(*nodes[0], **meet), start(*nodes[1], **meet, **other, PET_NODE_RANK="1")
    (told, said), (silence, others) = first.communicate(timeout=600), second.communicate(timeout=600)
    assert (said, first.returncode, silence, others, second.returncode) == ("", 0, "", "", 0)
    assert version_numbers(open_store(str(tmp_path / "registry")), "tiny") == [1]
    assert [one["epoch"] for one in events(told) if "accuracy" in one and "epoch" in one] == [1, 2, 3]
    assert list(tmp_path.glob("elsewhere/*")) == []
