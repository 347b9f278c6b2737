"""A load generator in a process of its own: so many connections, each with one request at a time.

No HTTP library: a request is bytes that are there already, and of an answer only its status and its length are read, so
that the generator takes a small part of the processors that it shares with the server.
"""

import argparse
import json
import select
import socket
import sys
import time
from pathlib import Path


class _Caller:
    def __init__(self, port, requests, turn):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests, self._turn = requests, turn
        self._received = b""
        self.sent = 0.0

    def ask(self):
        self.sent = time.perf_counter()
        self.socket.sendall(self._requests[self._turn % len(self._requests)])
        self._turn += 1

    def read(self):
        """The status once the answer is whole, or None."""
        more = self.socket.recv(1 << 18)
        if not more:
            raise ConnectionError("the server closed a connection")
        self._received += more
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            return None
        self._received = b""
        return int(head[9:12])


def load(port, bodies, connections, seconds, rate=0.0, path="/predict"):
    """Ask for so many seconds: (when it was over, how long it took) of each answer, by status.

    Without a rate each connection asks again as soon as it is answered; with one so many requests are sent in a second,
    as long as there is a connection that waits for nothing.
    """
    requests = [
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
        for body in bodies
    ]
    callers = [_Caller(port, requests, number * 7) for number in range(connections)]
    by_file = {caller.socket.fileno(): caller for caller in callers}
    poll = select.epoll()
    for number in by_file:
        poll.register(number, select.EPOLLIN)
    waits, idle, asked, begun = {}, callers, 0, time.perf_counter()
    while True:
        spent = time.perf_counter() - begun
        due = len(idle) if not rate else min(len(idle), int(spent * rate) - asked)
        if spent < seconds:
            for caller in idle[: max(due, 0)]:
                caller.ask()
                asked += 1
            idle = idle[max(due, 0) :]
        elif len(idle) == len(callers):
            break
        for number, _ in poll.poll(0.001 if rate else 1):
            caller = by_file[number]
            if (status := caller.read()) is not None:
                now = time.perf_counter()
                waits.setdefault(status, []).append((now - begun, now - caller.sent))
                idle.append(caller)
    for caller in callers:
        caller.socket.close()
    return waits, time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("bodies", type=Path, help="a JSON list of bodies")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--path", default="/predict")
    asked = parser.parse_args()
    bodies = [body.encode() for body in json.loads(asked.bodies.read_text())]
    waits, seconds = load(asked.port, bodies, asked.connections, asked.seconds, asked.rate, asked.path)
    times = {status: sorted(took for _, took in own) for status, own in waits.items()}
    summary = {
        "seconds": seconds,
        "counts": {status: len(own) for status, own in times.items()},
        "p50": {status: own[len(own) // 2] for status, own in times.items()},
        "p99": {status: own[len(own) * 99 // 100] for status, own in times.items()},
        "max": {status: own[-1] for status, own in times.items()},
    }
    json.dump(summary, sys.stdout)


if __name__ == "__main__":
    main()
