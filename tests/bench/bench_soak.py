"""`make bench-soak`: whether a server stays right and its memory flat for twenty minutes of what users do to it.

One registered version (the quickstart's by default) is published twice into a registry of its own, the second time with
other names for its labels, and a server follows its alias. Callers ask at four fifths of what it can answer and hold
each answer against what the version that the answer names gives without a server. Meanwhile the alias moves, callers
hang up over requests of sixteen texts, others send a byte a second, and each minute two hundred ask at once. Memory is
looked at every second; its slope is that of the line through what follows the first quarter. Printed, and written to
var/bench/soak.json; ends with 1 after a wrong answer or an error of the server.
"""

import argparse
import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from followed import Following, published_twice
from load import load

from tunewright.registry.stores.store import Store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.pull import pull
from tunewright.serving.predictor import open_predictor

SENTENCE = "A charming film that never quite finds its feet, but the cast makes up for it. "
TEXTS = [f"{number} stars. " + SENTENCE * (1 + number % 5) for number in range(40)]
SHARE, CALLERS = 0.8, 32
SWAP, FLOOD = 15.0, 60.0
"""Seconds from one to the next."""
NEAR = 1e-3
"""How far a score may be from that of the same text alone."""
Expected = dict[str, list[tuple[str, float]]]
"""By the name of a version, as answers have it: label and score of each of `TEXTS`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="reviews@production")
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--minutes", type=float, default=20.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        store = published_twice(asked.model, root, labels=["one label", "the other"])
        server = Following(root, asked.variant, poll_seconds=0.5)
        try:
            server.event("ready")
            found = soaked(store, server, root, asked.variant, asked.minutes)
        finally:
            server.close()
    out = Path("var/bench/soak.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2))
    for key, value in found.items():
        print(f"{key:28} {value}")
    answers = [*found["answers"], *found["floods"]]
    if found["wrong"] or any(status.startswith("5") for status in answers):
        sys.exit("a wrong answer, or an error of the server")


def soaked(store: Store, server: Following, root: Path, variant: str, minutes: float) -> dict[str, object]:
    """What came of it."""
    expected = root / "expected.json"
    expected.write_text(json.dumps(expected_of(store, root, variant)))
    bodies = [json.dumps({"inputs": text}).encode() for text in TEXTS]
    waits, seconds = load(server.port, bodies, CALLERS, 5)
    most = len(waits[200]) / seconds
    command = [sys.executable, __file__, "call", str(server.port), str(expected), str(SHARE * most), str(60 * minutes)]
    callers = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    trouble = Trouble(store, server, bodies)
    trouble.begin()
    begun, memory = time.monotonic(), []
    while callers.poll() is None:
        memory.append(((time.monotonic() - begun) / 60, server.memory_mb()))
        time.sleep(1)
    trouble.end()
    assert callers.stdout is not None
    return {
        "minutes": minutes,
        "can_answer_a_second": round(most, 1),
        **json.loads(callers.stdout.read()),
        "swaps": trouble.swaps,
        "hung_up": trouble.hung_up,
        "floods": dict(trouble.floods),
        "memory_mb": {"first": memory[0][1], "last": memory[-1][1], "most": max(one for _, one in memory)},
        "memory_mb_a_minute": slope(memory),
        "load_of_the_machine": os.getloadavg()[0],
    }


def expected_of(store: Store, root: Path, variant: str) -> Expected:
    """What each version answers without a server."""
    found = {}
    for number in (1, 2):
        folder = pull(store, f"reviews:{number}", cache=root / "beside").folder
        predictor = open_predictor(folder, variant=variant)
        answers = [predictor.predict([text])[0][0] for text in TEXTS]
        found[f"reviews:{number}/{variant}"] = [(one["label"], one["score"]) for one in answers]
    return found


def slope(memory: Sequence[tuple[float, float]]) -> float:
    """MB a minute after the first quarter."""
    rest = np.array(memory[len(memory) // 4 :])
    return round(float(np.polyfit(rest[:, 0], rest[:, 1], 1)[0]), 3)


class Trouble:
    """What goes on beside the callers, each in a thread of its own."""

    def __init__(self, store: Store, server: Following, bodies: Sequence[bytes]) -> None:
        self._store, self._port, self._bodies = store, server.port, bodies
        self._over = threading.Event()
        kinds = (self._swap, self._hang_up, self._flood, *[self._dawdle] * 8)
        self._threads = [threading.Thread(target=kind) for kind in kinds]
        self.swaps = self.hung_up = 0
        self.floods: Counter[str] = Counter()
        """Answers of those who all ask at once, by status."""

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _swap(self) -> None:
        for number in itertools.cycle((2, 1)):
            if self._over.wait(SWAP):
                return
            move(self._store, "reviews", "production", number, force=True)
            self.swaps += 1

    def _hang_up(self) -> None:
        request = _request(json.dumps({"inputs": TEXTS[:16]}).encode())
        while not self._over.wait(0.5):
            with socket.create_connection(("127.0.0.1", self._port)) as connection:
                connection.sendall(request)
            self.hung_up += 1

    def _dawdle(self) -> None:
        request = _request(self._bodies[0])
        while not self._over.is_set():
            # The server may have enough of it at any byte.
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port)) as connection:
                for byte in request:
                    connection.sendall(bytes([byte]))
                    if self._over.wait(1):
                        return

    def _flood(self) -> None:
        while not self._over.wait(FLOOD):
            waits, _ = load(self._port, self._bodies, 200, 2)
            self.floods.update({str(status): len(own) for status, own in waits.items()})


def _request(body: bytes) -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Callers:
    """They ask so often in a second, and look at each answer."""

    def __init__(self, port: int, expected: Expected, rate: float, seconds: float) -> None:
        self._port, self._expected, self._rate, self._seconds = port, expected, rate, seconds
        self._numbers, self._turn, self._begun = itertools.count(), threading.Lock(), time.monotonic()
        self._found: Counter[str] = Counter()
        self._wrong: list[str] = []

    def run(self) -> dict[str, object]:
        """How many answers came by status, or by what went wrong with the connection, and the first wrong ones."""
        threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asked = round(sum(self._found.values()) / self._seconds, 1)
        return {"asked_a_second": asked, "answers": dict(self._found), "wrong": self._wrong[:20]}

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for number in self._due():
            at = number % len(TEXTS)
            try:
                connection.request("POST", "/predict", json.dumps({"inputs": TEXTS[at]}))
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._found[type(error).__name__] += 1
                connection.close()
                continue
            self._found[str(answer.status)] += 1
            if answer.status == 200:
                self._look(answer.headers["X-Tunewright-Model"], at, json.loads(body)[0])

    def _due(self) -> Iterator[int]:
        while True:
            with self._turn:
                number = next(self._numbers)
            at, spent = number / self._rate, time.monotonic() - self._begun
            # By the clock too: a server that is slower than it was at first would be asked for longer.
            if max(at, spent) > self._seconds:
                return
            time.sleep(max(0.0, at - spent))
            yield number

    def _look(self, version: str, at: int, answer: dict[str, object]) -> None:
        label, score = self._expected[version][at]
        if answer["label"] != label or abs(float(str(answer["score"])) - score) > NEAR:
            self._wrong.append(f"{version}, {TEXTS[at]!r}: {answer}, not {label} {score}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["call"]:
        _, _, port, expected, rate, seconds = sys.argv
        callers = Callers(int(port), json.loads(Path(expected).read_text()), float(rate), float(seconds))
        json.dump(callers.run(), sys.stdout)
    else:
        main()
