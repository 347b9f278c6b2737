"""A load generator in a process of its own that sends at a fixed rate, whatever comes back.

Callers do not wait for one another: a request is sent when it is due, on any connection that waits for nothing. How
late it was sent is told apart from how long its answer took, so that nobody takes the generator's delay for the
server's. Beside the requests a page is asked, twenty times a second. What is written, a line of JSON: for each request
when it was due, how late it was sent, how long its answer took and its status; of the page the same.

Times are those of `time.monotonic`, which all processes of a machine share. It ends after its stages, or once its
standard input is closed. Where it may, it takes a higher priority than the server.
"""

import argparse
import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

_PROBES = 20
"""Questions for the page in a second."""


class Paced:
    """The generator in a process of its own, until its stages are over or `end` is called."""

    def __init__(self, port, bodies, stages, connections=512):
        command = [sys.executable, __file__, str(port), str(bodies), "--connections", str(connections), "--stages"]
        command += [f"{rate}:{seconds}" for rate, seconds in stages]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def answers(self):
        """(due, late, took, status) of each request, and of each question for the page, once all is over."""
        said = json.loads(self._process.stdout.read())
        self._process.wait()
        return said["answers"], said["probes"]

    def end(self):
        """Nothing more is sent."""
        self._process.stdin.close()


def summary(answers):
    """In milliseconds: how long answers took, by their status, and how late requests were sent."""
    said = {"late": _times([late for _, late, _, _ in answers])}
    for status in sorted({one[3] for one in answers}):
        said[str(status)] = _times([took for _, _, took, own in answers if own == status])
    return said


def _times(seconds):
    times = sorted(seconds)
    shares = {f"p{share}": 1000 * times[int(len(times) * share / 100)] for share in (50, 95, 99)}
    return {"count": len(times), **shares, "max": 1000 * times[-1]}


class _Asking:
    """A connection, with one request at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.due = self.sent = 0.0

    def ask(self, request, due):
        self.due, self.sent = due, time.monotonic()
        self.socket.sendall(request)

    def read(self):
        """(due, late, took, status) once the answer is whole, or None."""
        more = self.socket.recv(1 << 18)
        if not more:
            raise ConnectionError("the server closed a connection")
        self._received += more
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            return None
        self._received = b""
        took = time.monotonic() - self.sent
        return round(self.due, 6), round(self.sent - self.due, 6), round(took, 6), int(head[9:12])


class Generator:
    """So many connections to one server, and one more for the page."""

    def __init__(self, port, bodies, connections, page):
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        self._requests = [head % (len(body), body) for body in bodies]
        self._page = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % page.encode()
        self._idle = deque(_Asking(port) for _ in range(connections))
        self._probe = _Asking(port)
        self._by_file = {one.socket.fileno(): one for one in (*self._idle, self._probe)}
        self._is_probed = False
        self._busy, self._sent = 0, 0
        self.answers, self.probes = [], []

    def run(self, stages):
        """Stages of (requests a second, seconds), one after the other."""
        poll = select.epoll()
        for number in self._by_file:
            poll.register(number, select.EPOLLIN)
        poll.register(sys.stdin, select.EPOLLIN | select.EPOLLHUP)
        for rate, seconds in stages:
            begun = probed = time.monotonic()
            sent = 0
            while (now := time.monotonic()) - begun < seconds:
                while sent < (now - begun) * rate and self._idle:
                    self._send(begun + sent / rate)
                    sent += 1
                if now >= probed and not self._is_probed:
                    self._is_probed = True
                    self._probe.ask(self._page, now)
                    probed += 1 / _PROBES
                if not self._take(poll, 0.001):
                    return self._drain(poll)
        return self._drain(poll)

    def _send(self, due):
        self._idle.popleft().ask(self._requests[self._sent % len(self._requests)], due)
        self._sent += 1
        self._busy += 1

    def _take(self, poll, seconds):
        """Read what is there; False once standard input is closed."""
        goes_on = True
        for number, _ in poll.poll(seconds):
            if number == sys.stdin.fileno():
                goes_on = bool(os.read(number, 1))
                continue
            one = self._by_file[number]
            if (found := one.read()) is None:
                continue
            if one is self._probe:
                self._is_probed = False
                self.probes.append(found)
            else:
                self._busy -= 1
                self._idle.append(one)
                self.answers.append(found)
        return goes_on

    def _drain(self, poll):
        poll.unregister(sys.stdin)
        end = time.monotonic() + 60
        while self._busy and time.monotonic() < end:
            self._take(poll, 0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("bodies", type=Path, help="a JSON list of bodies")
    parser.add_argument("--connections", type=int, default=512)
    parser.add_argument("--page", default="/livez")
    parser.add_argument("--stages", nargs="+", required=True, help="requests a second:seconds")
    asked = parser.parse_args()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
        Path("/proc/self/autogroup").write_text("-15")
    bodies = [body.encode() for body in json.loads(asked.bodies.read_text())]
    stages = [tuple(map(float, stage.split(":"))) for stage in asked.stages]
    generator = Generator(asked.port, bodies, asked.connections, asked.page)
    generator.run(stages)
    json.dump({"answers": generator.answers, "probes": generator.probes}, sys.stdout)


if __name__ == "__main__":
    main()
