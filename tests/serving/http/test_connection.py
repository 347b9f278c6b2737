"""What a caller can hold: real sockets that send little, late, or in crumbs."""

import contextlib
import gc
import http.client
import json
import os
import re
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


MALFORMED = (400, "Malformed", "this is not HTTP/1.1 as this server reads it")
BODY = b'{"inputs": "great"}'
LENGTH, CHUNKED = b"Content-Length: 19\r\n", b"Transfer-Encoding: chunked\r\n"
LINE = b"POST /predict HTTP/1.1\r\n"
PIECE = b"13\r\n" + BODY + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    {
        "a length and chunks": HEAD + LENGTH + CHUNKED + b"\r\n" + PIECE,
        "chunks and a length": HEAD + CHUNKED + LENGTH + b"\r\n" + PIECE,
        "one length twice": HEAD + LENGTH + LENGTH + b"\r\n" + BODY,
        "two lengths": HEAD + LENGTH + b"Content-Length: 5\r\n\r\n" + BODY,
        "a list of lengths": HEAD + b"Content-Length: 19, 19\r\n\r\n" + BODY,
        "a signed length": HEAD + b"Content-Length: +19\r\n\r\n" + BODY,
        "a length in hexadecimal": HEAD + b"Content-Length: 0x13\r\n\r\n" + BODY,
        "no length": HEAD + b"Content-Length:\r\n\r\n" + BODY,
        "a length that no number holds": HEAD + b"Content-Length: 18446744073709551635\r\n\r\n" + BODY,
        "another coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + PIECE,
        "another coding first": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + PIECE,
        "another coding after": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + PIECE,
        "nearly chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + PIECE,
        "no coding": HEAD + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\n" + BODY,
        "chunked twice": HEAD + CHUNKED + CHUNKED + b"\r\n" + PIECE,
        "chunked twice in a line": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + PIECE,
        "a space before the colon": HEAD + b"Content-Length : 19\r\n\r\n" + BODY,
        "a folded line": HEAD + b"Content-Length:\r\n 19\r\n\r\n" + BODY,
        "a space before the first name": LINE + b" Host: x\r\n" + LENGTH + b"\r\n" + BODY,
        "lines that end with half an end": HEAD + b"X: y\n" + LENGTH + b"\r\n" + BODY,
        "a lone carriage return": HEAD + b"X: y\rContent-Length: 5\r\n" + LENGTH + b"\r\n" + BODY,
        "a zero byte": HEAD + b"X: y\x00\r\n" + LENGTH + b"\r\n" + BODY,
        "no name": HEAD + b": y\r\n" + LENGTH + b"\r\n" + BODY,
        "no host": LINE + LENGTH + b"\r\n" + BODY,
        "two hosts": HEAD + b"Host: y\r\n" + LENGTH + b"\r\n" + BODY,
        "chunks of an older HTTP": b"POST /predict HTTP/1.0\r\n" + CHUNKED + b"\r\n" + PIECE,
        "a newer HTTP": b"POST /predict HTTP/2.0\r\nHost: x\r\n" + LENGTH + b"\r\n" + BODY,
        "an HTTP without headers": b"GET /livez\r\n\r\n",
        "a connection preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "a method in small letters": b"post /predict HTTP/1.1\r\nHost: x\r\n" + LENGTH + b"\r\n" + BODY,
        "an address that is none": b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        "a signed size": HEAD + CHUNKED + b"\r\n+" + PIECE,
        "a size in another base": HEAD + CHUNKED + b"\r\n0x" + PIECE,
        "a size that no number holds": HEAD + CHUNKED + b"\r\n" + b"F" * 17 + b"\r\n" + BODY,
        "a space after the size": HEAD + CHUNKED + b"\r\n13 \r\n" + BODY + b"\r\n0\r\n\r\n",
        "a size that ends with half an end": HEAD + CHUNKED + b"\r\n13\n" + BODY + b"\r\n0\r\n\r\n",
        "an extension with half an end": HEAD + CHUNKED + b"\r\n13;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n",
        "a piece that is longer than it says": HEAD + CHUNKED + b"\r\n5\r\n" + BODY + b"\r\n0\r\n\r\n",
        "a piece without its end": HEAD + CHUNKED + b"\r\n13\r\n" + BODY + b"0\r\n\r\n",
    }.items(),
    ids=lambda sent: sent[0],
)  # fmt: skip
def test_what_two_servers_could_read_differently_is_refused(client_of_reviews, sent):
    with connection(client_of_reviews, sent[1] + GOOD) as opened:
        assert refusal(read_all(opened)) == MALFORMED


def test_requests_before_a_malformed_one_are_answered_first(client_of_reviews):
    with connection(client_of_reviews, GOOD + GOOD + HEAD + CHUNKED + b"\r\nz") as opened:
        assert statuses(read_all(opened)) == [200, 200, 400]


def statuses(replies):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", replies)]


LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "wish", [b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Upgrade: a\r\nConnection: b, upgrade\r\n"]
)
@pytest.mark.parametrize("at", [0, len(BODY), 5], ids=["with its head", "later", "in pieces"])
def test_a_wish_for_another_protocol_is_passed_over(client_of_reviews, wish, at):
    # httptools by itself takes a body that comes later for the next request, and loses one that comes at once.
    sent = HEAD + wish + LENGTH + b"\r\n" + BODY
    with connection(client_of_reviews, sent[: len(sent) - at]) as opened:
        client_of_reviews.get("/livez")
        opened.sendall(sent[len(sent) - at :] + LAST)
        replies = read_all(opened)
    assert statuses(replies) == [200, 200]


def test_a_tunnel_is_refused(client_of_reviews):
    with connection(client_of_reviews, b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n" + GOOD) as opened:
        sentence = "CONNECT is not possible: this server is no proxy"
        assert refusal(read_all(opened)) == (405, "MethodNotAllowed", sentence)


def test_a_whole_address_is_that_of_its_path(client_of_reviews):
    sent = b"GET http://elsewhere/livez?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connection(client_of_reviews, sent) as opened:
        assert statuses(read_all(opened)) == [200]


def test_headers_after_a_body_are_not_those_of_the_request(client_of_reviews):
    sent = HEAD + CHUNKED + b"\r\n13\r\n" + BODY + b"\r\n0\r\nContent-Encoding: gzip\r\n\r\n" + LAST
    with connection(client_of_reviews, sent) as opened:
        assert statuses(read_all(opened)) == [200, 200]


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /", b"a"),
        (HEAD + b"X: ", b"a"),
        (HEAD, b"X: y\r\n"),
        (HEAD + CHUNKED + b"\r\n13;", b"a"),
        (HEAD + CHUNKED + b"\r\n13\r\n" + BODY + b"\r\n0\r\nX: ", b"a"),
        (HEAD + CHUNKED + b"\r\n13\r\n" + BODY + b"\r\n0\r\n", b"X: y\r\n"),
        (b"", b"\r\n"),
    ],
    ids=["address", "header", "headers", "extension", "trailer", "trailers", "empty lines"],
)
def test_what_surrounds_a_body_is_bounded(client_of_reviews, begin, more):
    with connection(client_of_reviews, begin) as opened, contextlib.suppress(ConnectionError):
        for _ in range(64):
            opened.sendall(more * ((16 << 10) // len(more)))
        reply = read_all(opened)
        # Closing while bytes still come may take the answer with it.
        assert not reply or refusal(reply)[:2] == (431, "TooLarge")
        return


def test_a_head_just_small_enough_is_read(client_of_reviews):
    with connection(client_of_reviews, LAST[:-2] + b"X: " + b"a" * (63 << 10) + b"\r\n\r\n") as opened:
        assert statuses(read_all(opened)) == [200]


def test_more_requests_at_once_than_anybody_sends_are_refused_in_their_order(client_of_reviews):
    with connection(client_of_reviews, GOOD * 150) as opened:
        replies = read_all(opened)
    assert statuses(replies) == [200] * 100 + [429]
    assert b"more than 100 requests wait on this connection; read their answers" in replies


def test_empty_lines_do_not_keep_a_connection(reviews, serve_bundle, monkeypatch):
    monkeypatch.setattr("tunewright.serving.http.server._KEEP_ALIVE_SECONDS", 1)
    with serve_bundle(reviews) as (client, _), connection(client) as opened:
        opened.settimeout(0.1)
        for _ in range(300):
            with contextlib.suppress(TimeoutError):
                opened.sendall(b"\r\n")
                if not opened.recv(1):
                    return
    raise AssertionError("the connection is still open")


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
        # Three of the six, and one for each of the two who asked.
        counted = [line for line in client.get("/metrics").text.splitlines() if "tunewright_refusals_total{" in line]
        assert counted == ['tunewright_refusals_total{reason="connections"} 4.0']


def test_what_is_answered_or_refused_leaves_nothing_to_the_collector(reviews, serve_bundle):
    with serve_bundle(reviews) as (client, models), connection(client) as opened:
        for most, status in ((256, 200), (0, 429)):
            models.admission.most = most
            assert ask(opened) == status
            gc.collect()
            gc.disable()
            try:
                assert {ask(opened) for _ in range(20)} == {status}
                # The last one may not be put away yet.
                assert gc.collect() < 40
            finally:
                gc.enable()


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
    url = next(event["url"] for event in events if event["event"] == "ready")
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
