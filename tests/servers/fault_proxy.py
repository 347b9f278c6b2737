"""A proxy that injects faults between a client and a real server."""

import http.client
import socket
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Fault:
    """What happens to the next `times` requests of a method whose path holds a text."""

    kind: str  # lose, cut, flip, or an HTTP status such as "503 SlowDown"
    method: str
    path: str
    times: int
    seen: int = field(default=0)

    def takes(self, method, path):
        if self.times and method == self.method and self.path in path:
            self.times -= 1
            self.seen += 1
            return True
        return False


class Server(ThreadingHTTPServer):
    """One whose clients may go at any moment: tests kill them, and what they had asked is no fault of the server."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FaultProxy:
    """A real HTTP proxy that passes requests on and spoils some of the answers.

    lose: the request is carried out, the connection is closed without an answer.
    cut: the answer's body ends half way. flip: one bit of the answer's body is flipped.
    "503 SlowDown": the request is not carried out, that status and S3 error code are the answer.
    """

    def __init__(self, upstream, handler=None):
        self._faults = []
        self.requests = []
        self._lock = threading.Lock()
        self.upstream = urlsplit(upstream)
        self._server = Server(("127.0.0.1", 0), handler or Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def inject(self, kind, method, path="", times=1):
        fault = Fault(kind, method, path, times)
        self._faults.append(fault)
        return fault

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def fault_for(self, method, path):
        with self._lock:
            self.requests.append((method, path))
            return next((fault.kind for fault in self._faults if fault.takes(method, path)), None)


class Handler(BaseHTTPRequestHandler):
    """One connection of the proxy."""

    protocol_version = "HTTP/1.1"

    def do(self):
        fault = self.server.proxy.fault_for(self.command, self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault and fault[0].isdigit():
            status, code = fault.split()
            self.answer(int(status), [], f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode())
        else:
            self.pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do

    def pass_on(self, body, fault):
        upstream = self.server.proxy.upstream
        connection = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("expect", "connection")}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if fault == "lose":
            self.hang_up()
            return
        if fault == "flip":
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        self.answer(response.status, response.getheaders(), data, cut=fault == "cut")

    def answer(self, status, headers, data, cut=False):
        self.send_response_only(status)
        length = str(len(data))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.wfile.flush()
            self.hang_up()

    def hang_up(self):
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *_):
        pass
