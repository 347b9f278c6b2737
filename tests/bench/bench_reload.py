"""`make bench-reload`: what callers notice while a server follows an alias that moves a hundred times.

One registered version (the quickstart's by default) is published twice into a registry of its own, the second time
with another description; a server follows its alias, callers ask at a steady rate, first while nothing moves, then
while each swap follows the last one. A time is counted from the moment at which a request was due. Printed, and
written to var/bench/reload.json.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.publish import publish
from tunewright.registry.versions.pull import pull

CALLERS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="reviews@production")
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--steady-seconds", type=float, default=20.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        store = _published_twice(asked.model, Path(root))
        server = _started(Path(root), asked.variant)
        try:
            _event(server, "ready")
            table = _measure(store, server, asked)
        finally:
            server.kill()
            server.communicate()
    for name, row in table.items():
        print(f"{name:8}", "  ".join(f"{key} {value:.1f}" for key, value in row.items()))
    out = Path("var/bench/reload.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(table, indent=2))


def _published_twice(reference: str, root: Path) -> Store:
    registry = RegistrySettings()
    pulled = pull(open_store(registry.uri), reference, cache=registry.cache)
    files = {layer.path: pulled.folder / layer.path for layer in pulled.manifest.layers}
    store = open_store(str(root / "registry"))
    publish(store, "reviews", files, run_id="run-1")
    model = json.loads(files["model.json"].read_text())
    (root / "model.json").write_text(json.dumps(model | {"left_out": {"none": "the second of two versions"}}))
    publish(store, "reviews", files | {"model.json": root / "model.json"}, run_id="run-2")
    move(store, "reviews", "production", 1)
    return store


PORT = 18_099


def _started(root: Path, variant: str) -> "subprocess.Popen[str]":
    settings = {
        "REGISTRY_URI": str(root / "registry"),
        "REGISTRY_CACHE": str(root / "cache"),
        "SERVING_VARIANT": variant,
        "SERVING_HOST": "127.0.0.1",
        "SERVING_PORT": str(PORT),
        "SERVING_POLL_SECONDS": "0.05",
    }
    command = [sys.executable, "-m", "tunewright", "serve", "reviews@production"]
    return subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True)


def _event(server: "subprocess.Popen[str]", name: str) -> dict[str, object]:
    assert server.stderr is not None
    for line in server.stderr:
        if (content := json.loads(line))["event"] == name:
            return content
    raise RuntimeError(f"the server ended without {name}")


def _measure(store: Store, server: "subprocess.Popen[str]", asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    with _Load(asked.rate) as warm:
        time.sleep(3)
    with _Load(asked.rate) as steady:
        time.sleep(asked.steady_seconds)
    before, taken = _memory(server), []
    # The first time each of the two is tried in a child; what is measured is a swap.
    for number in (2, 1):
        move(store, "reviews", "production", number, force=True)
        _event(server, "swapped")
    begun = time.monotonic()
    with _Load(asked.rate) as moving:
        for turn in range(asked.swaps):
            move(store, "reviews", "production", 2 - turn % 2, force=True)
            _event(server, "swapped")
            taken.append(_memory(server))
    seconds = (time.monotonic() - begun) / max(1, asked.swaps)
    time.sleep(2)  # until the last of them has drained
    memory = {"before_mb": before, "most_mb": max(taken), "after_mb": _memory(server), "ms_a_swap": seconds * 1000}
    return {"warm": warm.figures, "steady": steady.figures, "moving": moving.figures, "memory": memory}


def _memory(server: "subprocess.Popen[str]") -> float:
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


class _Load:
    """So many requests a second, from callers that keep their connections."""

    def __init__(self, rate: float) -> None:
        self._pause = CALLERS / rate
        self._over = threading.Event()
        self._callers = [threading.Thread(target=self._ask, args=(number,)) for number in range(CALLERS)]
        self._seconds: list[float] = []
        self._failed = 0

    def __enter__(self) -> "_Load":
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for caller in self._callers:
            caller.join()

    @property
    def figures(self) -> dict[str, float]:
        times = sorted(self._seconds)
        shares = {f"p{share}_ms": times[int(len(times) * share / 100)] * 1000 for share in (50, 95, 99)}
        return {"requests": len(times), "failed": self._failed, **shares, "most_ms": times[-1] * 1000}

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        due = time.monotonic() + self._pause * number / CALLERS
        body = b'{"inputs": "A charming film that never quite finds its feet, but the cast makes up for it."}'
        while not self._over.wait(max(0.0, due - time.monotonic())):
            connection.request("POST", "/predict", body)
            reply = connection.getresponse()
            reply.read()
            self._failed += reply.status != 200
            self._seconds.append(time.monotonic() - due)
            due += self._pause


if __name__ == "__main__":
    main()
