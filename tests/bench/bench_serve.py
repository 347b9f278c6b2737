"""`make bench-serve`: what the server costs around the engine, measured through sockets.

The real server process, over loopback, asked by a generator in a process of its own (`load.py`). In the same rounds run
ONNX Runtime with nothing around it (`bare.py`) over the same rows, one row a run, and the peers: a careful FastAPI
around optimum and, where asked for, LitServe and mlserver with the same file (`peer_graph.py`) and a pipeline of
transformers and infinity with the weights, each in an environment of its own. All have as many threads. What is
compared is texts per second of a processor, the workers of a server counted with it: where a machine has others to
serve it is steadier than texts per second. At last three times the requests that the server can answer are sent at a
fixed rate (`overload.py`). Printed, and written to var/bench/serve.json and var/bench/overload.json.
"""

import argparse
import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import peers
from overload import overload
from overload import shown as shown_overload
from ports import free_port
from registered import pulled

from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.runtime.capacity import available_cpus

HERE = Path(__file__).parent
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks without a proxy."""
PEERS = {
    "optimum": peers.optimum_server,
    "pipeline": peers.optimum_server,
    "litserve": peers.litserve,
    "mlserver": peers.mlserver,
    "infinity": peers.infinity,
}
"""Names of programs `peer_NAME.py` and the environment of each."""


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
    """A server in a process group of its own."""

    path = "/predict"

    def __init__(self, command: list[str], environment: dict[str, str], port: int, log: Path) -> None:
        self.port = port
        how = {"env": os.environ | environment, "stderr": subprocess.STDOUT, "start_new_session": True}
        self.process = subprocess.Popen(command, stdout=log.open("w"), **how)
        for _ in range(600):
            if self.process.poll() is not None:
                raise SystemExit(f"{command[:3]} ended: {log.read_text()[-2000:]}")
            if self._is_ready():
                return
            time.sleep(0.2)
        self.close()
        raise SystemExit(f"{command[:3]} is not ready: {log.read_text()[-2000:]}")

    def body(self, texts: list[str]) -> str:
        """A request."""
        return json.dumps({"inputs": texts[0] if len(texts) == 1 else texts})

    def bodies(self, bodies: Path) -> Path:
        """These requests of ours as requests of its own."""
        return bodies

    def window(self, bodies: Path, texts: int, connections: int, seconds: float) -> Window:
        """Ask for so many seconds. `texts`: of each request."""
        own, before = self.bodies(bodies), self.cpu()
        command = [sys.executable, HERE / "load.py", str(self.port), own, "--path", self.path]
        command += ["--connections", str(connections), "--seconds", str(seconds)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        count = found["counts"].get("200", 0)
        failed = sum(found["counts"].values()) - count
        fifty, most = found["p50"].get("200", 0), found["p99"].get("200", 0)
        return Window(count * texts, found["seconds"], self.cpu() - before, fifty, most, failed)

    def close(self) -> None:
        """End it, and the workers that LitServe would leave behind."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _is_ready(self) -> bool:
        asked, kind = self.body(["ready?"]), {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{self.path}", asked.encode(), kind)
        try:
            return OPENER.open(request, timeout=10).status == 200
        except OSError:
            return False

    def cpu(self) -> float:
        """Seconds of a processor that it and its workers have taken."""
        return sum(_seconds_of(number) for number in _family(self.process.pid))


class _Other(Asked):
    """One that is asked in another form."""

    def bodies(self, bodies: Path) -> Path:
        asked = [json.loads(body)["inputs"] for body in json.loads(bodies.read_text())]
        own = bodies.with_suffix(f".{type(self).__name__}.json")
        own.write_text(json.dumps([self.body([texts] if isinstance(texts, str) else texts) for texts in asked]))
        return own


class OpenInference(_Other):
    """One that speaks the Open Inference Protocol alone."""

    path = "/v2/models/reviews/infer"

    def body(self, texts: list[str]) -> str:
        return json.dumps({"inputs": [{"name": "texts", "shape": [len(texts)], "datatype": "BYTES", "data": texts}]})


class Embedding(_Other):
    """One that is asked for vectors, as OpenAI is, in the form that is quickest to write."""

    path = "/embeddings"

    def body(self, texts: list[str]) -> str:
        return json.dumps({"model": "reviews", "input": texts, "encoding_format": "base64"})


_KINDS = {"mlserver": OpenInference, "infinity": Embedding}
"""How peers are asked that do not know `{"inputs": text}`."""


def _family(number: int) -> list[int]:
    """A process and all that it has started."""
    try:
        files = [path.read_text() for path in Path(f"/proc/{number}/task").glob("*/children")]
    except OSError:
        return []
    return [number, *(one for file in files for child in file.split() for one in _family(int(child)))]


def _seconds_of(number: int) -> float:
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
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
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=["optimum"], help="none: only ONNX Runtime")
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
    servers = {}

    def start(name: str, server: Asked) -> None:
        servers[name] = server
        held.callback(server.close)

    start("ours", _ours(asked, variant, folder, "ours", {}))
    for one in asked.beside:
        name, _, place = one.partition("=")
        start(name, _ours(asked, variant, folder, name, {"PYTHONPATH": f"{place}/src"}))
    for name in asked.peers:
        start(name, _peer(name, files, variant, folder))
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
    port = free_port()
    environment = {"SERVING_HOST": "127.0.0.1", "SERVING_PORT": str(port), "SERVING_VARIANT": variant, **environment}
    command = [sys.executable, "-m", "tunewright", "serve", asked.model]
    return Asked(command, environment, port, folder / f"{name}.log")


def _peer(name: str, files: Path, variant: str, folder: Path) -> Asked:
    """A peer over the files of the version, in a folder of its own as transformers lays one out."""
    python, laid_out = PEERS[name](), folder / f"files-{variant}"
    file = files / read_model_file(files).variants[variant].file
    laid_out.mkdir(exist_ok=True)
    for source in (files / "weights", file.parent, files):
        for path in source.glob("*"):
            if path.suffix in (".json", ".onnx", ".safetensors", ".txt") and not (laid_out / path.name).exists():
                (laid_out / path.name).symlink_to(path.absolute())
    port = free_port()
    command = [str(python), str(HERE / f"peer_{name}.py"), str(laid_out), file.name, str(port), str(available_cpus())]
    return _KINDS.get(name, Asked)(command, {}, port, folder / f"{name}.log")


if __name__ == "__main__":
    main()
