"""Many swaps under load, of the whole program: no request fails, each is answered rightly, and memory comes back."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.publish import publish

SPARE_WORDS = 600_000
"""Rows of the embedding that no text has: what makes a tiny model one of 40 MB."""


@pytest.fixture(scope="module")
def large(reviews, tmp_path_factory):
    """Two bundles of 40 MB whose labels tell them apart."""
    folders = []
    for labels in (["negative", "positive"], ["bad", "good"]):
        folder = tmp_path_factory.mktemp("large") / "bundle"
        shutil.copytree(reviews, folder)
        shutil.rmtree(folder / "onnx/int8")
        model = json.loads((folder / "model.json").read_text())
        variants = {"fp32": model["variants"]["fp32"]}
        (folder / "model.json").write_text(json.dumps(model | {"labels": labels, "variants": variants}))
        graph = onnx.load(folder / "onnx/fp32/model.onnx")
        [words] = [one for one in graph.graph.initializer if one.name == "words"]
        rows = numpy_helper.to_array(words)
        padded = np.concatenate([rows, np.ones((SPARE_WORDS, rows.shape[1]), dtype=np.float32)])
        words.CopyFrom(numpy_helper.from_array(padded, "words"))
        onnx.save(graph, folder / "onnx/fp32/model.onnx")
        folders.append(folder)
    return folders


class Program:
    """A server that follows reviews@production, whose versions 1 and 2 take turns."""

    def __init__(self, folders, root, uri=None):
        uri = uri or str(root / "registry")
        self.store = open_store(uri)
        for number, folder in enumerate(folders):
            files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
            publish(self.store, "reviews", files, run_id=f"run-{number}")
        move(self.store, "reviews", "production", 1)
        settings = {
            "REGISTRY_URI": uri,
            "REGISTRY_CACHE": str(root / "cache"),
            "SERVING_HOST": "127.0.0.1",
            "SERVING_PORT": "0",
            "SERVING_POLL_SECONDS": "0.02",
        }
        command = [sys.executable, "-m", "tunewright", "serve", "reviews@production"]
        self.process = subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True)
        self.port = int(self.event("ready")["url"].rpartition(":")[2])

    def event(self, name):
        for line in self.process.stderr:
            content = json.loads(line)
            assert content["level"] != "error", content
            if content["event"] == name:
                return content
        raise AssertionError(f"the program ended without {name}")

    def swap(self, number):
        move(self.store, "reviews", "production", number, force=True)
        self.event("swapped")

    @property
    def memory(self):
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))


@pytest.fixture
def start(tmp_path):
    programs = []

    def started(folders, uri=None):
        programs.append(Program(folders, tmp_path, uri))
        return programs[-1]

    yield started
    for program in programs:
        program.process.kill()
        program.process.communicate()


class Caller(threading.Thread):
    """Asks so many times a second until it is told to stop."""

    def __init__(self, port, rate):
        super().__init__()
        self.port, self.pause = port, 1 / rate
        self.over, self.who, self.faults = threading.Event(), [], []

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        due = time.monotonic()
        while not self.over.wait(max(0, due - time.monotonic())):
            due += self.pause
            connection.request("POST", "/predict", b'{"inputs": ["great"]}')
            reply = connection.getresponse()
            said, who = reply.read(), reply.headers["X-Tunewright-Model"]
            self.who.append(who)
            label = {"reviews:1/fp32": b'"positive"', "reviews:2/fp32": b'"good"'}.get(who, b"?")
            if reply.status != 200 or label not in said:
                self.faults.append((reply.status, who, said))


@pytest.mark.slow
def test_a_hundred_swaps_fail_no_request(start, reviews, second):
    program = start([reviews, second])
    callers = [Caller(program.port, 25) for _ in range(4)]
    for caller in callers:
        caller.start()
    for turn in range(100):
        program.swap(1 + (turn + 1) % 2)
    for caller in callers:
        caller.over.set()
    for caller in callers:
        caller.join()
    assert [fault for caller in callers for fault in caller.faults] == []
    assert {who for caller in callers for who in caller.who} == {"reviews:1/fp32", "reviews:2/fp32"}
    assert sum(len(caller.who) for caller in callers) > 200


@pytest.mark.slow
def test_memory_comes_back_after_each_swap(start, large):
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell what a process takes")
    program = start(large)
    before = program.memory
    for turn in range(20):
        program.swap(1 + (turn + 1) % 2)
    for _ in range(300):
        if program.memory < before + (30 << 20):
            return
        time.sleep(0.1)  # the last one before is still drained
    raise AssertionError(f"{program.memory - before} bytes stay after twenty swaps of a model of 40 MB")


@pytest.mark.slow
def test_a_store_that_stops_is_nothing_to_callers(start, faults, faulty_uri, reviews, second):
    program = start([reviews, second], faulty_uri)
    caller = Caller(program.port, 20)
    caller.start()
    program.swap(2)
    faults.upstream = urlsplit("http://127.0.0.1:9")
    assert program.event("store_unreachable")["level"] == "warning"
    asked = len(caller.who)
    while len(caller.who) < asked + 20:
        time.sleep(0.05)
    caller.over.set()
    caller.join()
    assert (caller.faults, caller.who[-1]) == ([], "reviews:2/fp32")
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(60) == 0
