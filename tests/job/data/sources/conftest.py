"""A small hub of data sets, on a port of this machine."""

import json
import threading
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import utils

COMMIT = "c" * 40
# The library's second version has another name for it.
close_session = getattr(utils, "close_session", None) or utils.reset_sessions


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub with the data set org/set; `files` are its own, `requests` the paths that were asked for.

    Files over a thousand bytes are told with their sha256, the others as git tells them.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    server.files, server.requests, server.revisions = {}, [], {"main", "v2", "refs/convert/parquet", COMMIT}
    server.instead, server.gated = {}, False
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    # The library reads its environment once, when it is imported; where it keeps the form of addresses has changed.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    for place in ("constants", "file_download"):
        name = f"huggingface_hub.{place}.HUGGINGFACE_CO_URL_TEMPLATE"
        monkeypatch.setattr(name, address + "/{repo_id}/resolve/{revision}/{filename}", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def go_offline(monkeypatch):
    """A function that does what HF_HUB_OFFLINE=1 does when the library is imported."""

    def go():
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        close_session()

    yield go
    monkeypatch.undo()
    close_session()


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as data sets take: a listing with digests, and files with commit and ETag."""

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(path)
        listing, _, revision = path.partition("/revision/")
        inside = path.removeprefix(f"/datasets/org/set/resolve/{COMMIT}/")
        if listing != "/api/datasets/org/set" and inside == path:
            self.answer(b'{"error": "Repository not found"}', 404, {"X-Error-Code": "RepoNotFound"})
        elif self.server.gated:
            self.answer(b'{"error": "Access is restricted"}', 403, {"X-Error-Code": "GatedRepo"})
        elif inside != path and inside in self.server.files:
            self.answer(self.server.instead.get(inside, self.server.files[inside]))
        elif inside != path:
            self.answer(b"Entry not found", 404, {"X-Error-Code": "EntryNotFound"})
        elif revision and revision not in self.server.revisions:
            self.answer(b'{"error": "Invalid rev id"}', 404, {"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = [_told(name, data) for name, data in self.server.files.items()]
            self.answer(json.dumps({"id": "org/set", "sha": COMMIT, "siblings": siblings}).encode())

    do_HEAD = do_GET

    def answer(self, data, status=200, headers=None):
        self.send_response(status)
        common = {"Content-Length": str(len(data)), "X-Repo-Commit": COMMIT, "ETag": f'"{sha256(data).hexdigest()}"'}
        for name, value in (common | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


def _told(name, data):
    git = sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
    large = {"size": len(data), "sha256": sha256(data).hexdigest(), "pointerSize": 130}
    return {"rfilename": name, "size": len(data), "blobId": git, **({"lfs": large} if len(data) > 1000 else {})}
