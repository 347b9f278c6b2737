"""The whole program in several processes: on one machine, and on two that are network namespaces of this one."""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
import psutil
import pytest

from tunewright.job import launcher, signals
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.record import version_numbers

TOLD = logging.getLogger(__name__)
"""How long it took: -o log_cli=true --log-cli-level=INFO."""
TRAIN = {"epochs": 3, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32", "checkpoint": {"steps": 1}}


@pytest.fixture
def start(make_settings, tmp_path):
    """start(PET_NNODES="2") starts `tunewright train` on a small job; `before` and `more` stand around its command."""
    settings = make_settings(train=TRAIN, export={"variants": ["fp32"], "explained_rows": 0})
    (tmp_path / "job.json").write_text(settings.model_dump_json(exclude_unset=True))
    started = []

    def run(*before, more=(), **environment):
        own = {"REGISTRY_URI": "registry", "REGISTRY_CACHE": "cache", "JOB_OUTPUT": "runs"}
        own = {name: str(tmp_path / value) for name, value in own.items()} | {"OMP_NUM_THREADS": "1"} | environment
        command = [*before, sys.executable, "-m", "tunewright", "train", "--config", str(tmp_path / "job.json"), *more]
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


def steps_done(tmp_path):
    """The number of the newest checkpoint that is whole; one is written after each step, if the disk is as fast."""
    names = [path.parent.name for path in tmp_path.glob("runs/*/checkpoints/train/0*/manifest.json")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def wait_for_step(tmp_path, step, *processes):
    until = time.monotonic() + 600
    while steps_done(tmp_path) < step:
        assert [one.poll() for one in processes] == [None] * len(processes), processes[0].communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def ended(started, rank):
    [one] = [one for one in psutil.Process(started.pid).children(recursive=True) if rank_of(one) == str(rank)]
    one.kill()
    return started.communicate(timeout=600)


# A part of the 25 in each run of CI; all of them: -k kill.
@pytest.mark.slow
@pytest.mark.parametrize("point", range(25))
def test_a_process_that_is_killed_ends_all_and_is_named_and_any_number_goes_on(start, tmp_path, point):
    rank = point % 2
    started = start(PET_NPROC_PER_NODE="2")
    wait_for_step(tmp_path, 1 + point // 3, started)
    began = time.monotonic()
    out, said = ended(started, rank)
    TOLD.info("rank %d was killed, all have ended %.1f s later", rank, time.monotonic() - began)
    assert started.returncode == 137
    *lost, cause = said.splitlines()
    assert cause == f"error: rank {rank} was ended by SIGKILL (often for want of memory); the same job may run again"
    # Whichever comes first: the broken exchange, or the signal by which the launcher ends those that are left.
    other = f"error: rank {1 - rank} of 2 has lost another one, which was killed or cannot be reached ("
    assert all(line.startswith((other, f"error: {signals.SIGTERM}")) for line in lost), said
    told = [one["message"] for one in events(out) if "message" in one]
    assert len(told) == len(set(told))
    assert version_numbers(open_store(str(tmp_path / "registry")), "tiny") == []
    again = start(PET_NPROC_PER_NODE=str(1 + point % 2))
    out, said = again.communicate(timeout=600)
    assert (again.returncode, said) == (0, "")
    assert "the run goes on from" in out
    assert version_numbers(open_store(str(tmp_path / "registry")), "tiny") == [1]


@pytest.mark.parametrize(
    ("codes", "cause"),
    [
        ({0: 75, 1: -9}, (1, -9)),
        ({0: 1, 1: 4}, (1, 4)),
        ({0: 75, 1: 1}, (1, 1)),
        ({1: 75, 0: 75}, (0, 75)),
        ({0: -9, 1: 3}, (1, 3)),
    ],
)
def test_of_several_ends_the_one_that_decides_is_told(codes, cause):
    assert launcher._cause(codes) == cause


def test_a_node_that_comes_too_late_for_a_run_that_has_published_has_nothing_to_do(
    tmp_path, monkeypatch, write, capsys
):
    monkeypatch.setenv("REGISTRY_URI", str(tmp_path / "registry"))
    words = ["--model_name", "reviews", "--data.train", "none.csv"]
    assert not launcher._is_published([*words, "--run_id", "r1"])
    publish(open_store(str(tmp_path / "registry")), "reviews", {"model.json": write("model.json", b"{}")}, run_id="r1")
    assert launcher._is_published([*words, "--run_id", "r1"])
    assert "run r1 has already published reviews:1" in capsys.readouterr().out
    assert not launcher._is_published(words)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def nodes():
    """Two network namespaces with a cable between them: the beginnings of commands that run in each."""
    names = [f"tunewright-{os.getpid()}-{number}" for number in range(2)]
    if not shutil.which("ip") or subprocess.run(["ip", "netns", "add", names[0]], capture_output=True).returncode:
        # CI is root, and has brought the program.
        assert "TUNEWRIGHT_PART" not in os.environ, "ip netns add is refused"
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


MEET = {"PET_NNODES": "2", "PET_MASTER_ADDR": "node-0", "PET_MASTER_PORT": "29511", "GLOO_SOCKET_IFNAME": "cable"}


@pytest.fixture
def group(start, request, tmp_path):
    """group("2 nodes", ...): the commands of one job, started as that many processes or nodes."""

    def run(shape, more=()):
        if shape != "2 nodes":
            return [start(PET_NPROC_PER_NODE=shape[0], more=more)]
        nodes = request.getfixturevalue("nodes")
        other = {"REGISTRY_CACHE": str(tmp_path / "other"), "JOB_OUTPUT": str(tmp_path / "elsewhere")}
        return [start(*nodes[0], more=more, **MEET), start(*nodes[1], more=more, **MEET, **other, PET_NODE_RANK="1")]

    return run


@pytest.mark.slow
def test_two_nodes_register_one_version_and_the_first_speaks(group, tmp_path):
    first, second = group("2 nodes")
    (told, said), (silence, others) = first.communicate(timeout=600), second.communicate(timeout=600)
    assert (said, first.returncode, silence, others, second.returncode) == ("", 0, "", "", 0)
    assert version_numbers(open_store(str(tmp_path / "registry")), "tiny") == [1]
    assert [one["epoch"] for one in events(told) if "accuracy" in one and "epoch" in one] == [1, 2, 3]
    assert list(tmp_path.glob("elsewhere/*")) == []


@pytest.mark.slow
def test_a_node_without_a_way_to_the_bucket_and_the_registry_is_given_all_of_it(start, tmp_path, bucket, tiny_base):
    client, settings = boto3.client("s3"), json.loads((tmp_path / "job.json").read_text())
    rows = Path(settings["data"]["train"])
    for key, path in [("rows.csv", rows), *((f"base/{path.name}", path) for path in tiny_base.iterdir())]:
        client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    settings |= {"base_model": f"s3://{bucket}/base", "data": settings["data"] | {"train": f"s3://{bucket}/rows.csv"}}
    client.put_object(Bucket=bucket, Key="job.json", Body=json.dumps(settings).encode())
    registry = {"REGISTRY_URI": f"s3://{bucket}/registry"}
    words = ["--config", f"s3://{bucket}/job.json", "--train.epochs", "1"]
    teacher = start(more=words, **registry)
    assert (teacher.communicate(timeout=600)[1], teacher.returncode) == ("", 0)

    with socket.create_server(("127.0.0.1", 0)) as free:
        meet = {"PET_NNODES": "2", "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free.getsockname()[1])}
    words += ["--train.distill", json.dumps({"teacher": "tiny@latest"}), "--train.seed", "7"]
    alone = {"REGISTRY_CACHE": str(tmp_path / "other"), "JOB_OUTPUT": str(tmp_path / "elsewhere"), "PET_NODE_RANK": "1"}
    unreachable = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    nodes = [start(more=words, **meet, **registry), start(more=words, **meet, **registry, **alone, **unreachable)]
    (told, *said), others = nodes[0].communicate(timeout=600), nodes[1].communicate(timeout=600)
    assert (*said, *others, *(one.returncode for one in nodes)) == ("", "", "", 0, 0)
    assert "rank 0 has sent " in told
    assert version_numbers(open_store(registry["REGISTRY_URI"]), "tiny") == [1, 2]


WORDS = {
    2: ["--base_model", "./nowhere"],
    3: ["--data.columns", '{"text": "nothing", "label": "label"}'],
    4: ["--gate.min", '{"accuracy": 1.0}', "--train.epochs", "1", "--train.learning_rate", "1e-9"],
    75: [],
}


@pytest.mark.slow
@pytest.mark.parametrize("code", WORDS)
@pytest.mark.parametrize("shape", ["1 process", "2 processes", "2 nodes"])
def test_an_exit_code_is_that_of_the_job_however_many_processes_it_is(group, tmp_path, shape, code):
    commands = group(shape, WORDS[code])
    if code == 75:
        wait_for_step(tmp_path, 1, *commands)
        commands[-1].send_signal(signal.SIGTERM)
    said = [one.communicate(timeout=600)[1] for one in commands]
    assert [one.returncode for one in commands] == [code] * len(commands), said
    assert "Traceback" not in "".join(said)
    assert version_numbers(open_store(str(tmp_path / "registry")), "tiny") == []


@pytest.mark.slow
def test_a_cable_that_is_cut_ends_both_nodes_with_the_cause(group, tmp_path):
    commands = group("2 nodes")
    wait_for_step(tmp_path, 2, *commands)
    began = time.monotonic()
    ip("-n", f"tunewright-{os.getpid()}-0", "link", "set", "cable", "down")
    for number, one in enumerate(commands):
        _, said = one.communicate(timeout=600)
        TOLD.info("node %d has ended %.1f s after its cable was cut", number, time.monotonic() - began)
        assert one.returncode == 75
        assert said.startswith(
            f"error: rank {number} of 2 has lost another one, which was killed or cannot be reached ("
        )
        assert "Traceback" not in said
    alone = group("1 process")[0]
    assert (alone.communicate(timeout=600)[1], alone.returncode) == ("", 0)
