"""Compressed bodies, both ways."""

import gzip
import json
import zlib

import pytest

TEXTS = {"inputs": ["great lamp"] * 40}


@pytest.fixture(scope="module")
def client(guarded):
    with guarded(limits={"body_bytes": 1 << 20}) as client:
        yield client


def send(client, body, coding="gzip"):
    return client.post("/predict", content=body, headers={"Content-Encoding": coding})


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("Deflate", zlib.compress)]
)
def test_a_packed_body_is_read(client, coding, pack):
    reply = send(client, pack(json.dumps(TEXTS).encode()), coding)
    assert reply.status_code == 200
    assert len(reply.json()) == 40


def test_a_packed_body_may_come_in_pieces(client):
    packed = gzip.compress(json.dumps(TEXTS).encode())
    assert send(client, (packed[at : at + 7] for at in range(0, len(packed), 7))).status_code == 200


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 65_536, 65_537, 1 << 28])
def test_what_unfolds_over_the_limit_is_refused_before_it_is_unfolded(client, size):
    body = b'{"inputs": "great"}'
    reply = send(client, gzip.compress(body + b" " * (size - len(body)), 1))
    assert reply.status_code == (200 if size <= 1 << 20 else 413)
    if size > 1 << 20:
        assert "1048576 bytes; this server reads at most 1048576" in reply.json()["error"] or size == 1 << 28


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"inputs": "a"}', "the body is not compressed as its Content-Encoding says: Error -3"),
        (
            gzip.compress(b'{"inputs": "a"}', mtime=0)[:-4],
            "the body ends in the middle of what is compressed; send it whole",
        ),
        (
            gzip.compress(b"{}", mtime=0) + b"x",
            "the body goes on after the end of what is compressed; send it in one piece",
        ),
        (b"", "the body ends in the middle of what is compressed; send it whole"),
    ],
    ids=("not packed", "cut off", "gone on", "empty"),
)
def test_what_is_not_packed_as_it_says_is_malformed(client, body, said):
    reply = send(client, body)
    assert (reply.status_code, reply.json()["error_type"]) == (400, "Malformed")
    assert reply.json()["error"].startswith(said)


@pytest.mark.parametrize("coding", ["br", "gzip, gzip"])
def test_other_codings_are_named(client, coding):
    reply = send(client, b"x", coding)
    assert reply.status_code == 400
    assert f"(Content-Encoding: {coding!r}); send it as it is, or in gzip" in reply.json()["error"]


@pytest.mark.parametrize(
    ("accepted", "inputs", "coding"),
    [
        ("gzip", 40, "gzip"),
        ("deflate, gzip;q=0.5", 40, "gzip"),
        ("gzip", 1, None),
        ("identity", 40, None),
        ("gzip;q=0, identity", 40, None),
        ("gzip;q=0.0", 40, None),
    ],
)
def test_a_large_reply_is_packed_for_who_asks_for_it(client, accepted, inputs, coding):
    body = {"inputs": ["great lamp"] * inputs}
    reply = client.post("/predict", json=body, headers={"Accept-Encoding": accepted})
    assert reply.headers.get("Content-Encoding") == coding
    assert len(reply.json()) == inputs


def test_packing_can_be_switched_off(guarded):
    with guarded(compress=False) as client:
        reply = client.post("/predict", json=TEXTS, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in reply.headers
