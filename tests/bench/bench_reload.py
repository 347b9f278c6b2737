"""`make bench-reload`: what callers notice while a server follows an alias that moves a hundred times.

One registered version (the quickstart's by default) is published twice into a registry of its own, the second time
with another description; a server follows its alias, callers ask at a steady rate, first while nothing moves, then
while each swap follows the last one. The callers are a process of their own (`paced.py`), which tells how late it was
itself. Printed, and written to var/bench/reload.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paced import Paced, summary
from registered import pulled

from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.publish import publish

CONNECTIONS = 32
TEXT = "A charming film that never quite finds its feet, but the cast makes up for it."


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
            table = _measure(store, server, asked, Path(root))
        finally:
            server.kill()
            server.communicate()
    _print(table)
    out = Path("var/bench/reload.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(table, indent=2))


def _print(table: dict[str, dict]) -> None:
    print("  ".join(f"{key} {value:.1f}" for key, value in table["memory"].items()))
    for name in ("steady", "first", "moving", "after"):
        for of, row in table[name].items():
            shown = (f"{key}: {' '.join(f'{k} {v:.1f}' for k, v in own.items())}" for key, own in row.items())
            print(f"{name:7} {of:8}", " | ".join(shown))
    ratio = table["moving"]["predict"]["200"]["p99"] / table["steady"]["predict"]["200"]["p99"]
    print(f"p99 while it moves is {ratio:.2f} of the steady one; the load of the machine is {os.getloadavg()[0]:.1f}")


def _published_twice(reference: str, root: Path) -> Store:
    version = pulled(reference)
    files = {layer.path: version.folder / layer.path for layer in version.manifest.layers}
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


def _measure(store: Store, server: "subprocess.Popen[str]", asked: argparse.Namespace, root: Path) -> dict[str, dict]:
    bodies = root / "bodies.json"
    bodies.write_text(json.dumps([json.dumps({"inputs": TEXT})]))
    load = Paced(PORT, bodies, [(asked.rate, 3600)], CONNECTIONS)
    time.sleep(3)
    stages = {"steady": time.monotonic()}
    time.sleep(asked.steady_seconds)
    before, taken = _memory(server), []
    stages["first"] = time.monotonic()
    # The first time each of the two is tried in a child; what is measured is a swap.
    for number in (2, 1):
        move(store, "reviews", "production", number, force=True)
        _event(server, "swapped")
    stages["moving"] = time.monotonic()
    for turn in range(asked.swaps):
        move(store, "reviews", "production", 2 - turn % 2, force=True)
        _event(server, "swapped")
        taken.append(_memory(server))
    stages["after"] = time.monotonic()
    time.sleep(2)  # until the last of them has drained
    seconds = (stages["after"] - stages["moving"]) / max(1, asked.swaps)
    load.end()
    answers, pages = load.answers()
    memory = {"before_mb": before, "most_mb": max(taken), "after_mb": _memory(server), "ms_a_swap": seconds * 1000}
    ends = [*list(stages.values())[1:], stages["after"] + 2]
    return {
        "memory": memory,
        **{
            name: {"predict": summary(_within(answers, begun, end)), "livez": summary(_within(pages, begun, end))}
            for (name, begun), end in zip(stages.items(), ends, strict=True)
        },
    }


def _within(answers: list[list[float]], begun: float, end: float) -> list[list[float]]:
    return [one for one in answers if begun <= one[0] < end]


def _memory(server: "subprocess.Popen[str]") -> float:
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
