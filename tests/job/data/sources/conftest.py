"""A small hub of data sets, on a port of this machine."""

import json
from hashlib import sha1, sha256

import pytest

COMMIT = "c" * 40


@pytest.fixture
def hub(start_hub):
    """A hub with the data set org/set; `files` are its own, `requests` the paths that were asked for.

    Files over a thousand bytes are told with their sha256, the others as git tells them.
    """
    server = start_hub(lambda path: _respond(server, path), COMMIT)
    server.files, server.revisions = {}, {"main", "v2", "refs/convert/parquet", COMMIT}
    server.instead, server.gated = {}, False
    return server


def _respond(server, path):
    """A listing with digests, or a file."""
    listing, _, revision = path.partition("/revision/")
    inside = path.removeprefix(f"/datasets/org/set/resolve/{COMMIT}/")
    if listing != "/api/datasets/org/set" and inside == path:
        return b'{"error": "Repository not found"}', 404, "RepoNotFound"
    if server.gated:
        return b'{"error": "Access is restricted"}', 403, "GatedRepo"
    if inside != path and inside in server.files:
        return server.instead.get(inside, server.files[inside]), 200, ""
    if inside != path:
        return b"Entry not found", 404, "EntryNotFound"
    if revision and revision not in server.revisions:
        return b'{"error": "Invalid rev id"}', 404, "RevisionNotFound"
    siblings = [_told(name, data) for name, data in server.files.items()]
    return json.dumps({"id": "org/set", "sha": COMMIT, "siblings": siblings}).encode(), 200, ""


def _told(name, data):
    git = sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
    large = {"size": len(data), "sha256": sha256(data).hexdigest(), "pointerSize": 130}
    return {"rfilename": name, "size": len(data), "blobId": git, **({"lfs": large} if len(data) > 1000 else {})}
