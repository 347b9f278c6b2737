"""`make bench-start`: how long a server takes until it answers, with its model in the cache, and what memory it has.

One registered version (the quickstart's by default) is served again and again. The first start fills the cache, tries
the version and compiles this program, as the image comes compiled; it is not counted. Told are the seconds from the
command to the first answer, those of a processor, and the memory then and after two hundred requests of many lengths.
Printed, and written to var/bench/start.json.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from registered import pulled

PORT = 18_098
TEXT = "A charming film that never quite finds its feet, but the cast makes up for it. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="reviews@production")
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--starts", type=int, default=10)
    asked = parser.parse_args()
    pulled(asked.model)
    with tempfile.TemporaryDirectory() as compiled:
        figures = [_start(asked.model, asked.variant, compiled) for _ in range(asked.starts + 1)][1:]
    table = {
        name: {"least": min(found), "median": statistics.median(found)}
        for name in figures[0]
        for found in [[one[name] for one in figures]]
    }
    for name, row in table.items():
        print(f"{name:24} {row['least']:8.2f} {row['median']:8.2f}")
    out = Path("var/bench/start.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(table, indent=2))


def _start(model: str, variant: str, compiled: str) -> dict[str, float]:
    settings = {"SERVING_HOST": "127.0.0.1", "SERVING_PORT": str(PORT), "SERVING_VARIANT": variant}
    # As in the image: one arena of glibc for all threads but the first, and byte code that is there.
    settings |= {"MALLOC_ARENA_MAX": "2", "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-m", "tunewright", "serve", model]
    begun = time.monotonic()
    server = subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True)
    try:
        _ready(server)
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        _ask(connection, TEXT)
        seconds, processor, first = time.monotonic() - begun, _processor(server.pid), _memory(server.pid)
        for number in range(200):
            _ask(connection, TEXT * (1 + number % 6))
        warm = _memory(server.pid)
    finally:
        server.kill()
        server.communicate()
    return {"seconds": seconds, "processor seconds": processor, "MB at first": first, "MB after 200 requests": warm}


def _ready(server: "subprocess.Popen[str]") -> None:
    assert server.stderr is not None
    lines = []
    for line in server.stderr:
        lines.append(line)
        if json.loads(line)["event"] == "ready":
            return
    raise RuntimeError(f"the server ended before it was ready: {''.join(lines)}")


def _ask(connection: http.client.HTTPConnection, text: str) -> None:
    connection.request("POST", "/predict", json.dumps({"inputs": text}))
    reply = connection.getresponse()
    reply.read()
    assert reply.status == 200


def _processor(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(process: int) -> float:
    """Resident, the pages of files that are mapped included."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
