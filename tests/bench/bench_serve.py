"""`make bench-serve`: what the server costs around the engine, measured through sockets.

The real server process, over loopback, asked by a generator in a process of its own (`load.py`). In the same rounds run
ONNX Runtime with nothing around it (`bare.py`) over the same rows, one row a run, and as peer a careful FastAPI around
optimum with the same file, in an environment of its own. All have as many threads. What is compared is texts per second
of a processor: where a machine has others to serve it is steadier than texts per second. At last three times the
requests that the server can answer are sent at a fixed rate (`overload.py`). Printed, and written to
var/bench/serve.json and var/bench/overload.json.
"""

import argparse
import csv
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import peers
from overload import overload
from overload import shown as shown_overload
from registered import pulled

from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.runtime.capacity import available_cpus

HERE = Path(__file__).parent
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks without a proxy."""
_PEER = """
import os, sys
from concurrent.futures import ThreadPoolExecutor

import asyncio
import onnxruntime as ort
import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response
import orjson
from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoTokenizer

torch.set_num_threads(1)
folder, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
model = ORTModelForSequenceClassification.from_pretrained(folder, session_options=options)
tokenizer = AutoTokenizer.from_pretrained(folder)
labels = model.config.id2label
pool = ThreadPoolExecutor(threads)
app = FastAPI()


def answers(texts):
    rows = tokenizer(texts, return_tensors="np", truncation=True, max_length=256, padding=True)
    scores = torch.softmax(torch.from_numpy(model(**rows).logits), dim=-1).numpy()
    order = (-scores).argsort(axis=-1)
    found = [[{"label": labels[int(i)], "score": float(row[i])} for i in places] for row, places in zip(scores, order)]
    return orjson.dumps(found)


@app.post("/predict")
async def predict(request: Request):
    inputs = orjson.loads(await request.body())["inputs"]
    texts = inputs if isinstance(inputs, list) else [inputs]
    content = await asyncio.get_running_loop().run_in_executor(pool, answers, texts)
    return Response(content, media_type="application/json")


uvicorn.run(app, port=port, http="httptools", access_log=False, log_level="warning")
"""
"""The peer: optimum with as many threads as this server, one per run, behind FastAPI with httptools and orjson."""


@dataclass(frozen=True)
class Window:
    """What one server, or the engine alone, did while it was asked."""

    texts: int
    seconds: float
    cpu: float
    p50: float = 0.0
    p99: float = 0.0
    failed: int = 0

    @property
    def per_cpu(self) -> float:
        """Texts per second of a processor."""
        return self.texts / max(self.cpu, 1e-9)


class Asked:
    """A server in a process of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], port: int, log: Path) -> None:
        self.port = port
        written, all_of = log.open("w"), os.environ | environment
        self.process = subprocess.Popen(command, env=all_of, stdout=written, stderr=subprocess.STDOUT)
        for _ in range(600):
            if self.process.poll() is not None:
                raise SystemExit(f"{command[:3]} ended: {log.read_text()[-2000:]}")
            if self._is_ready():
                return
            time.sleep(0.2)
        raise SystemExit(f"{command[:3]} is not ready")

    def window(self, bodies: Path, texts: int, connections: int, seconds: float) -> Window:
        """Ask for so many seconds. `texts`: of each request."""
        before = self.cpu()
        command = [sys.executable, HERE / "load.py", str(self.port), bodies]
        command += ["--connections", str(connections), "--seconds", str(seconds)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        count = found["counts"].get("200", 0)
        failed = sum(found["counts"].values()) - count
        fifty, most = found["p50"].get("200", 0), found["p99"].get("200", 0)
        return Window(count * texts, found["seconds"], self.cpu() - before, fifty, most, failed)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()

    def _is_ready(self) -> bool:
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/predict", b'{"inputs": "ready?"}')
        try:
            return OPENER.open(asked, timeout=10).status == 200
        except OSError:
            return False

    def cpu(self) -> float:
        """Seconds of a processor that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bare:
    """ONNX Runtime with nothing around it, in a process of its own."""

    def __init__(self, folder: Path, file: str, texts: Path) -> None:
        command = [sys.executable, str(HERE / "bare.py"), str(folder), file, str(texts)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def window(self, threads: int, seconds: float) -> Window:
        """Run for so many seconds."""
        self.process.stdin.write(f"{json.dumps([seconds, threads])}\n")
        self.process.stdin.flush()
        found = json.loads(self.process.stdout.readline())
        return Window(found["rows"], found["seconds"], found["cpu"], found["seconds"] * threads / found["rows"])

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="reviews@production")
    parser.add_argument("--variants", nargs="+", default=["int8", "fp32"])
    parser.add_argument("--connections", nargs="*", type=int, default=[1, 8, 32, 128], help="none: only overload")
    parser.add_argument("--kinds", nargs="+", default=["mixed", "short", "sixteen"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--overload-seconds", type=float, default=60)
    parser.add_argument("--beside", nargs="*", default=[], help="name=folder of other checkouts to measure beside")
    asked = parser.parse_args()
    version, table, overloads = pulled(asked.model), [], {}
    for variant in asked.variants:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as held:
            if asked.connections:
                table += compare(asked, version.folder, variant, Path(folder), held)
        if asked.overload_seconds:
            overloads[variant] = overloaded(asked, variant)
    for name, found in (("serve", table), ("overload", overloads)):
        out = Path(f"var/bench/{name}.json")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=2))


def overloaded(asked, variant: str) -> dict:
    """What one server does with too many requests."""
    with tempfile.TemporaryDirectory() as folder:
        server = _ours(asked, variant, Path(folder), "ours", {})
        try:
            found = overload(
                server, bodies_of(texts_of("mixed", Path(folder)), 1, Path(folder)), asked.overload_seconds
            )
        finally:
            server.close()
    print(f"{variant}: {shown_overload(found)}", flush=True)
    return found


def compare(asked, files: Path, variant: str, folder: Path, held: ExitStack) -> list[dict]:
    """A row for each kind of requests and number of connections."""
    servers = {"ours": _ours(asked, variant, folder, "ours", {})}
    for one in asked.beside:
        name, _, place = one.partition("=")
        servers[name] = _ours(asked, variant, folder, name, {"PYTHONPATH": f"{place}/src"})
    if not asked.no_peer:
        servers["optimum"] = _peer(files, variant, folder)
    for server in servers.values():
        held.callback(server.close)
    table = []
    for kind in asked.kinds:
        texts = texts_of(kind, folder)
        bodies = bodies_of(texts, 16 if kind == "sixteen" else 1, folder)
        (folder / "texts.json").write_text(json.dumps(texts))
        bare = Bare(files, read_model_file(files).variants[variant].file, folder / "texts.json")
        held.callback(bare.close)
        for connections in asked.connections:
            rounds = [one_round(asked, bare, servers, bodies, kind, connections) for _ in range(asked.rounds + 1)][1:]
            table.append({"variant": variant, "kind": kind, "connections": connections, **summary(rounds)})
            print(shown(table[-1]), flush=True)
    return table


def one_round(asked, bare, servers, bodies: Path, kind: str, connections: int) -> dict[str, Window]:
    """A window of each, one after the other."""
    found = {"bare": bare.window(min(connections, available_cpus()), asked.seconds / 2)}
    for name, server in servers.items():
        found[name] = server.window(bodies, 16 if kind == "sixteen" else 1, connections, asked.seconds)
    return found


def summary(rounds: list[dict[str, Window]]) -> dict:
    """Medians over the rounds: of what each did, and of the ratios within each round."""
    found = {}
    for name in rounds[0]:
        own = [one[name] for one in rounds]
        found[name] = {
            "texts_per_cpu_second": statistics.median(one.per_cpu for one in own),
            "texts_per_second": statistics.median(one.texts / one.seconds for one in own),
            "p50_ms": 1000 * statistics.median(one.p50 for one in own),
            "p99_ms": 1000 * statistics.median(one.p99 for one in own),
            "failed": sum(one.failed for one in own),
        }
        if name != "ours":
            found[f"ours/{name}"] = statistics.median(one["ours"].per_cpu / one[name].per_cpu for one in rounds)
    return found


def shown(row: dict) -> str:
    """A row of the table."""
    parts = [f"{row['variant']:5} {row['kind']:8} {row['connections']:4}"]
    for name, own in row.items():
        if isinstance(own, dict):
            parts.append(
                f"{name}: {own['texts_per_cpu_second']:.0f}/cpu-s {own['texts_per_second']:.0f}/s "
                f"p50 {own['p50_ms']:.1f} p99 {own['p99_ms']:.1f}"
                + (f" failed {own['failed']}" if own["failed"] else "")
            )
        elif isinstance(own, float):
            parts.append(f"{name} {own:.2f}")
    return " | ".join(parts)


def texts_of(kind: str, folder: Path) -> list[str]:
    """Sentences of SST-2 and texts of AG News, two to one; `short`: up to 40 characters, about 8 tokens."""
    data = Path(os.environ["TUNEWRIGHT_DATA"])
    sst2 = [line.rpartition("\t")[0] for line in (data / "sst2/dev.tsv").read_text().splitlines()]
    if kind == "short":
        return [text for text in sst2 if len(text) <= 60][:160]
    with (data / "ag_news/test.csv").open() as file:
        news = [row[-1] for row in csv.reader(file)][1:81]
    return [text for three in zip(sst2[:80], sst2[80:160], news, strict=True) for text in three]


def bodies_of(texts: list[str], count: int, folder: Path) -> Path:
    """Requests of so many texts each."""
    groups = [texts[start : start + count] for start in range(0, len(texts), count)]
    bodies = [json.dumps({"inputs": group if count > 1 else group[0]}) for group in groups if len(group) == count]
    path = folder / f"bodies-{count}.json"
    path.write_text(json.dumps(bodies))
    return path


def _ours(asked, variant: str, folder: Path, name: str, environment: dict[str, str]) -> Asked:
    port = _free_port()
    environment = {"SERVING_HOST": "127.0.0.1", "SERVING_PORT": str(port), "SERVING_VARIANT": variant, **environment}
    command = [sys.executable, "-m", "tunewright", "serve", asked.model]
    return Asked(command, environment, port, folder / f"{name}.log")


def _peer(files: Path, variant: str, folder: Path) -> Asked:
    python = peers.optimum_server()
    program, laid_out = folder / "peer.py", folder / f"optimum-{variant}"
    program.write_text(_PEER)
    laid_out.mkdir()
    for place in (files / "weights", (files / read_model_file(files).variants[variant].file).parent, files):
        for path in place.glob("*"):
            wanted = path.is_file() and path.suffix in (".json", ".onnx", ".txt")
            if wanted and not (laid_out / path.name).exists():
                (laid_out / path.name).symlink_to(path.absolute())
    port = _free_port()
    command = [str(python), str(program), str(laid_out), str(port), str(available_cpus())]
    return Asked(command, {}, port, folder / "peer.log")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


if __name__ == "__main__":
    main()
