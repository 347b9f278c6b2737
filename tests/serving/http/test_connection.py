"""What a caller can hold: real sockets that send little, late, or in crumbs."""

import contextlib
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys

import pytest

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
GOOD = HEAD + b'Content-Length: 19\r\n\r\n{"inputs": "great"}'


@contextlib.contextmanager
def connection(client, sent=b""):
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as opened:
        opened.sendall(sent)
        yield opened


def read_all(opened):
    """What the server sends until it closes."""
    with contextlib.suppress(ConnectionResetError):
        return opened.makefile("rb").read()


def ask(opened):
    """The status of the answer to a whole request."""
    opened.sendall(GOOD)
    reply = http.client.HTTPResponse(opened)
    reply.begin()
    reply.read()
    return reply.status


def refusal(reply):
    head, _, body = reply.partition(b"\r\n\r\n")
    content = json.loads(body)
    return int(head.split()[1]), content["error_type"], content["error"]


LATE = (408, "Incomplete", "the request did not arrive within 0.2 s (SERVING_LIMITS__BODY_SECONDS)")


@pytest.mark.parametrize(
    "sent", [b"P", HEAD, GOOD[:-1], b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"],
    ids=["one byte", "half a head", "all but one byte", "a body nobody reads"],
)  # fmt: skip
def test_a_request_that_does_not_arrive_is_closed(reviews, serve_bundle, sent):
    with serve_bundle(reviews, body_seconds=0.2) as (client, _), connection(client, sent) as opened:
        reply = read_all(opened)
    if b"alive" not in reply:
        assert refusal(reply) == LATE


def test_the_time_of_a_request_begins_with_its_first_byte_and_not_with_the_connection(reviews, serve_bundle):
    with serve_bundle(reviews, body_seconds=0.2) as (client, _), connection(client) as opened:
        for _ in range(3):
            opened.settimeout(0.3)
            with pytest.raises(TimeoutError):
                opened.recv(1)
            opened.settimeout(30)
            assert ask(opened) == 200


def test_a_second_request_in_the_same_packet_has_a_time_of_its_own(reviews, serve_bundle):
    with serve_bundle(reviews, body_seconds=0.2) as (client, _), connection(client, GOOD + GOOD + HEAD) as opened:
        replies = read_all(opened)
    assert replies.count(b"HTTP/1.1 200 OK") == 2
    assert replies.count(b"HTTP/1.1 408 ") == 1


def test_a_body_in_crumbs_is_refused_long_before_its_end(reviews, serve_bundle):
    crumbs = b"1\r\n \r\n" * 1_000_000
    with (
        serve_bundle(reviews) as (client, _),
        connection(client, HEAD + b"Transfer-Encoding: chunked\r\n\r\n") as opened,
    ):
        with contextlib.suppress(ConnectionError):
            opened.sendall(crumbs)
        reply = read_all(opened)
        assert client.post("/predict", json={"inputs": "great"}).status_code == 200
    # Closing while bytes still come may take the answer with it.
    if reply:
        sentence = "the body comes in more than 4096 pieces of less than 64 bytes; send larger ones"
        assert refusal(reply) == (413, "TooLarge", sentence)


def test_a_body_in_pieces_of_fair_size_is_read(client_of_reviews):
    pieces = (piece for piece in [b'{"inputs": "great"}', *[b" " * 100] * 5_000])
    assert client_of_reviews.post("/predict", content=pieces).status_code == 200


@pytest.fixture(scope="module")
def client_of_reviews(reviews, serve_bundle):
    with serve_bundle(reviews) as (client, _):
        yield client


def test_what_is_not_http_is_refused_in_json_and_writes_no_log(client_of_reviews, caplog):
    with connection(client_of_reviews, b"\x16\x03\x01\r\n\r\n") as opened:
        assert refusal(read_all(opened)) == (400, "Malformed", "this is not HTTP/1.1 as this server reads it")
    assert not caplog.records


def test_a_connection_too_many_takes_the_place_of_the_longest_idle_one(reviews, serve_bundle):
    with serve_bundle(reviews, connections=3) as (client, _), contextlib.ExitStack() as held:
        idle = [held.enter_context(connection(client)) for _ in range(6)]
        assert client.post("/predict", json={"inputs": "great"}).status_code == 200
        assert refusal(read_all(idle[0])) == (
            503,
            "Overloaded",
            "3 connections are open, the limit of this server (SERVING_LIMITS__CONNECTIONS)",
        )
        assert ask(idle[-1]) == 200


def test_more_idle_connections_than_files_do_not_stop_the_server_or_fill_its_log(published):
    environment = os.environ | {
        "REGISTRY_URI": str(published),
        "REGISTRY_CACHE": str(published.parent / "cache"),
        "SERVING_MODEL": "reviews:1",
        "SERVING_HOST": "127.0.0.1",
        "SERVING_PORT": "0",
        "SERVING_DRAIN_SECONDS": "0",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "tunewright", "serve"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)),
    )
    events = (json.loads(line) for line in server.stderr)
    url = next(event["url"] for event in events if event["event"] == "listening")
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    with contextlib.ExitStack() as held:
        for _ in range(200):
            held.enter_context(socket.create_connection(address, timeout=30))
        with socket.create_connection(address, timeout=30) as caller:
            assert ask(caller) == 200
    server.send_signal(signal.SIGTERM)
    _, log = server.communicate(timeout=60)
    assert server.returncode == 0
    assert len(log.splitlines()) < 10
