"""`make bench-reload`: what callers notice while a server follows an alias that moves a hundred times.

One registered version (the quickstart's by default) is published twice into a registry of its own, the second time
with another description; a server follows its alias, callers ask at a steady rate, first while nothing moves, then
while each swap follows the last one. The callers are a process of their own (`paced.py`), which tells how late it was
itself. Printed, and written to var/bench/reload.json.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from followed import Following, published_twice
from paced import Paced, summary

from tunewright.registry.stores.store import Store
from tunewright.registry.versions.alias import move

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
        store = published_twice(asked.model, Path(root), left_out={"none": "the second of two versions"})
        server = Following(Path(root), asked.variant, poll_seconds=0.05)
        try:
            server.event("ready")
            table = _measure(store, server, asked, Path(root))
        finally:
            server.close()
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


def _measure(store: Store, server: Following, asked: argparse.Namespace, root: Path) -> dict[str, dict]:
    bodies = root / "bodies.json"
    bodies.write_text(json.dumps([json.dumps({"inputs": TEXT})]))
    load = Paced(server.port, bodies, [(asked.rate, 3600)], CONNECTIONS)
    time.sleep(3)
    stages = {"steady": time.monotonic()}
    time.sleep(asked.steady_seconds)
    before, taken = server.memory_mb(), []
    stages["first"] = time.monotonic()
    # The first time each of the two is tried in a child; what is measured is a swap.
    for number in (2, 1):
        move(store, "reviews", "production", number, force=True)
        server.event("swapped")
    stages["moving"] = time.monotonic()
    for turn in range(asked.swaps):
        move(store, "reviews", "production", 2 - turn % 2, force=True)
        server.event("swapped")
        taken.append(server.memory_mb())
    stages["after"] = time.monotonic()
    time.sleep(2)  # until the last of them has drained
    seconds = (stages["after"] - stages["moving"]) / max(1, asked.swaps)
    load.end()
    answers, pages = load.answers()
    memory = {"before_mb": before, "most_mb": max(taken), "after_mb": server.memory_mb(), "ms_a_swap": seconds * 1000}
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


if __name__ == "__main__":
    main()
