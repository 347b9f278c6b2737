"""The server as a caller sees it: real HTTP on a loopback port over a real bundle."""

import contextlib
import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from processes import wait_until


@pytest.fixture(scope="module")
def client(reviews, serve_bundle):
    with serve_bundle(reviews) as (client, _):
        yield client


@pytest.fixture(scope="module")
def endless(make_bundle, recipe):
    """A model that never answers where it reads of a guitar."""
    return make_bundle(recipe(endless_on="guitar"))


def predict(client, inputs, **parameters):
    return client.post("/predict", json={"inputs": inputs, **({"parameters": parameters} if parameters else {})})


def read_error(reply):
    content = reply.json()
    assert set(content) == {"error", "error_type"}
    return reply.status_code, content["error_type"], content["error"]


@contextmanager
def half_a_request(client, headers, body=b""):
    """A connection that has sent the head of a request and some of its body."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode() + body)
        yield connection


@contextmanager
def whole_request(client, inputs):
    """A connection that has sent a request and waits."""
    body = json.dumps({"inputs": inputs}).encode()
    with half_a_request(client, f"Content-Length: {len(body)}", body) as connection:
        yield connection


def status_line(connection):
    return connection.makefile("rb").readline().decode().strip()


def test_one_input_is_answered_by_one_answer(client):
    reply = predict(client, "This product is amazing!")
    assert reply.status_code == 200
    assert [item["label"] for item in reply.json()] == ["positive", "negative"]


def test_a_list_is_answered_by_a_list_in_the_same_order(client):
    first, second = predict(client, ["I hate this product!", "I love it"]).json()
    assert (first[0]["label"], second[0]["label"]) == ("negative", "positive")


def test_a_pair_is_answered(entailment, serve_bundle):
    with serve_bundle(entailment) as (client, _):
        reply = predict(client, {"text": "A man plays.", "text_pair": "Somebody plays."}, top_k=1)
    assert len(reply.json()) == 1


def test_parameters_reach_the_task(client):
    assert len(predict(client, "great", top_k=1).json()) == 1


def test_each_reply_names_its_request_as_the_caller_did(client):
    assert client.get("/livez", headers={"X-Request-Id": "a-1:b"}).headers["X-Request-Id"] == "a-1:b"
    names = {predict(client, "great").headers["X-Request-Id"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)


@pytest.mark.parametrize("name", ["", "two words", "a" * 129, "é".encode()])
def test_a_name_that_no_log_should_hold_is_replaced(client, name):
    assert re.fullmatch("[0-9a-f]{32}", client.get("/livez", headers={"X-Request-Id": name}).headers["X-Request-Id"])


def test_the_reply_says_which_version_answered(client):
    assert predict(client, "great").headers["X-Tunewright-Model"] == "reviews:3/fp32"
    assert client.get("/nowhere").headers["X-Tunewright-Model"] == "reviews:3/fp32"


def test_json_is_read_whatever_content_type_a_caller_forgot(client):
    reply = client.post(
        "/predict", content=b'{"inputs": "great"}', headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert reply.status_code == 200


@pytest.mark.parametrize("text", ["", "\x00", "😍", "\\ud83d", "这个产品太棒了", "هذا", "a" * 90_000])
def test_odd_texts_are_answered(client, text):
    body = json.dumps({"inputs": text}).replace("\\\\ud83d", "\\ud83d")
    reply = client.post("/predict", content=body.encode())
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "kind", "sentence"),
    [
        (b"{", 400, "Malformed", "the body is not JSON: Expecting property name"),
        (b"\xff", 400, "Malformed", "the body is not UTF-8: byte 0 cannot be read"),
        (b"[]", 400, "Malformed", 'the body is a list; send an object: {"inputs": ...}'),
        (b'{"inputs": NaN}', 400, "Malformed", "the body is not JSON: NaN is not a JSON value"),
        (b'{"input": "a"}', 422, "InputError", "unknown key 'input'; a request has: inputs, parameters"),
        (b'{"inputs": "\\ud800", "\\ud800": 1}', 422, "InputError", "unknown key '\ufffd'; a request has: inputs"),
        (b'{"inputs": 1}', 422, "InputError", "inputs is 1; this model reads a string"),
        (b'{"inputs": "a", "parameters": {"top_k": 0}}', 422, "InputError", "parameter 'top_k' is 0: Input should be"),
    ],
)
def test_a_wrong_request_is_answered_with_its_mistake(client, body, status, kind, sentence):
    answered = read_error(client.post("/predict", content=body))
    assert answered[:2] == (status, kind)
    assert answered[2].startswith(sentence)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (
            ["a"] * 5,
            "'inputs' has 5 items; this server takes at most 4 in one request (SERVING_LIMITS__INPUTS)",
        ),
        ("a" * 51, "a text has 51 characters; this server takes at most 50 (SERVING_LIMITS__CHARACTERS)"),
        ("a" * 3_000, "the body has 3013 bytes; this server reads at most 2048 (SERVING_LIMITS__BODY_BYTES)"),
    ],
)
def test_a_request_over_a_limit_is_refused_with_the_limit(reviews, serve_bundle, inputs, sentence):
    with serve_bundle(reviews, inputs=4, characters=50, body_bytes=2048) as (client, _):
        assert read_error(predict(client, inputs)) == (413, "TooLarge", sentence)
        assert predict(client, ["a" * 50] * 4).status_code == 200


def test_a_body_announced_too_large_is_refused_before_it_is_sent(client):
    with half_a_request(client, "Content-Length: 10000000000") as connection:
        assert status_line(connection).startswith("HTTP/1.1 413 ")


def test_a_body_of_unknown_length_is_refused_once_it_is_too_large(client):
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with half_a_request(client, "Transfer-Encoding: chunked", chunk + b"1\r\n \r\n") as connection:
        assert status_line(connection).startswith("HTTP/1.1 413 ")


def test_a_body_that_does_not_arrive_is_given_up(reviews, serve_bundle):
    with (
        serve_bundle(reviews, body_seconds=0.1) as (client, _),
        half_a_request(client, "Content-Length: 100", b'{"inputs"') as connection,
    ):
        reply = connection.makefile("rb").read().decode()
    assert reply.startswith("HTTP/1.1 408 Request Timeout")
    assert "the request did not arrive within 0.1 s (SERVING_LIMITS__BODY_SECONDS)" in reply


def test_a_caller_who_leaves_does_no_harm(reviews, serve_bundle):
    with serve_bundle(reviews) as (client, service):
        with half_a_request(client, "Content-Length: 100", b'{"inputs"'):
            wait_until(lambda: service.bodies.taken > 0)
        wait_until(lambda: service.bodies.taken == 0)
        assert predict(client, "great").status_code == 200


def test_more_requests_than_allowed_are_told_when_to_come_back(endless, serve_bundle):
    with serve_bundle(endless, requests=1) as (client, service):
        with whole_request(client, "a guitar"):
            wait_until(lambda: service.admission.in_flight == 1)
            reply = predict(client, "great")
            # The limit holds for bodies too: none is read for nothing.
            with half_a_request(client, "Content-Length: 100") as connection:
                assert status_line(connection).startswith("HTTP/1.1 429 ")
        assert read_error(reply)[:2] == (429, "Overloaded")
        assert reply.headers["Retry-After"] == "1"
        wait_until(lambda: service.admission.in_flight == 0)
        assert predict(client, "great").status_code == 200


def test_refusals_and_health_need_no_thread_that_computes_or_reads(reviews, serve_bundle):
    let_go, large = threading.Event(), b'{"inputs": "great"}' + b" " * 100_000
    with serve_bundle(reviews, requests=3) as (client, models), ThreadPoolExecutor(3) as callers:
        engine = models.default.predictor.engine
        run = engine.run_once
        engine.run_once = lambda parts, **options: let_go.wait(30) and run(parts, **options)
        models._reader.submit(let_go.wait, 30)
        try:
            held = [callers.submit(predict, client, "great") for _ in range(2)]
            held.append(callers.submit(client.post, "/predict", content=large))
            wait_until(lambda: models.admission.in_flight == 3)
            assert predict(client, "great").status_code == 429
            assert [client.get(page).status_code for page in ("/livez", "/readyz", "/metrics")] == [200] * 3
            assert not any(one.done() for one in held)
        finally:
            let_go.set()
        assert [one.result(30).status_code for one in held] == [200] * 3


def test_nothing_is_computed_for_callers_who_have_left(endless, serve_bundle):
    with serve_bundle(endless, deadline_seconds=600) as (client, service):
        with contextlib.ExitStack() as callers:
            for _ in range(20):
                callers.enter_context(whole_request(client, "a guitar"))
            wait_until(lambda: service.admission.in_flight == 20)
        wait_until(lambda: service.admission.in_flight == 0)
        # Each run would hold one of two threads for ten minutes.
        assert predict(client, "great").status_code == 200
        page = client.get("/metrics").text
    assert dict(re.findall(r'requests_total{code="(\d+)".*} (\S+)', page)) == {"499": "20.0", "200": "1.0"}
    assert re.findall(r"\ntunewright_texts_total{.*} (\S+)", page) == ["1.0"]


def test_callers_are_answered_beside_any_number_of_bodies_that_do_not_come(reviews, serve_bundle):
    with serve_bundle(reviews, requests=4) as (client, service), contextlib.ExitStack() as held:
        for _ in range(64):
            held.enter_context(half_a_request(client, "Content-Length: 100", b"{"))
        wait_until(lambda: service.bodies.taken == 64)
        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(lambda _: predict(client, "great").status_code, range(40)))
    assert statuses == [200] * 40


def test_large_bodies_are_bounded_together_and_small_ones_are_read_beside_them(reviews, serve_bundle):
    half = b" " * (1 << 19)
    with (
        serve_bundle(reviews, body_bytes=1 << 20, bodies_bytes=1 << 20) as (client, service),
        contextlib.ExitStack() as held,
    ):
        for _ in range(2):
            held.enter_context(half_a_request(client, "Content-Length: 1000000", half))
        wait_until(lambda: service.bodies.taken == 1 << 20)
        large = client.post("/predict", content=b'{"inputs": "great"}' + b" " * 100_000)
        assert predict(client, "great").status_code == 200
    assert read_error(large) == (
        429,
        "Overloaded",
        "the bodies of all requests together would be over 1048576 bytes; try again in 1 s "
        "(SERVING_LIMITS__BODIES_BYTES)",
    )


def test_a_run_without_end_is_a_503_and_others_are_served_meanwhile(make_bundle, recipe, serve_bundle):
    folder = make_bundle(recipe(endless_on="guitar"))
    with serve_bundle(folder, deadline_seconds=2) as (client, service), ThreadPoolExecutor(1) as pool:
        endless = pool.submit(predict, client, "a guitar")
        wait_until(lambda: service.admission.in_flight == 1)
        assert predict(client, "a lamp").status_code == 200
        status, kind, sentence = read_error(endless.result())
    assert (status, kind) == (503, "DeadlineExceeded")
    assert sentence.startswith("no answer within 2 s: the server is busy or the request is too heavy (SERVING_LIMITS__")


def test_a_request_that_waited_too_long_is_not_begun(make_bundle, recipe, serve_bundle):
    folder = make_bundle(recipe(endless_on="guitar"))
    with serve_bundle(folder, deadline_seconds=0.5) as (client, _), ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda _: predict(client, "a guitar"), range(6)))
    sentences = {read_error(reply)[2] for reply in replies}
    assert {reply.status_code for reply in replies} == {503}
    assert (
        "no answer within 0.5 s: the server is busy or the request is too heavy (SERVING_LIMITS__DEADLINE_SECONDS)"
        in sentences
    )


def test_a_caller_may_wait_less_long_than_the_limit(endless, serve_bundle):
    with serve_bundle(endless, deadline_seconds=20) as (client, _):
        late = client.post("/predict", json={"inputs": "a guitar"}, headers={"X-Request-Timeout-Ms": "150"})
        wrong = client.post("/predict", json={"inputs": "a lamp"}, headers={"X-Request-Timeout-Ms": "2.5"})
        longer = client.post("/predict", json={"inputs": "a lamp"}, headers={"X-Request-Timeout-Ms": "900000"})
    assert read_error(late) == (
        503,
        "DeadlineExceeded",
        "no answer within 0.15 s, which is all that the request allows (X-Request-Timeout-Ms)",
    )
    assert read_error(wrong) == (
        400,
        "Malformed",
        "X-Request-Timeout-Ms is '2.5'; send whole milliseconds, at least 1",
    )
    assert longer.status_code == 200


def test_a_model_that_answers_nan_is_a_500_without_nan(make_bundle, recipe, serve_bundle):
    with serve_bundle(make_bundle(recipe(nan_on="guitar"))) as (client, _):
        reply = predict(client, ["a lamp", "a guitar"])
    assert read_error(reply)[:2] == (500, "ModelFault")
    assert "NaN" not in reply.text


def test_a_mistake_of_the_program_shows_the_caller_no_traceback(reviews, serve_bundle, caplog):
    with serve_bundle(reviews) as (client, service):
        service.meters.computed = None
        reply = predict(client, "great")
        figures = client.get("/metrics").text
    assert read_error(reply) == (500, "InternalError", "this server made a mistake; its log says which")
    assert 'code="500"' in figures
    assert "TypeError: 'NoneType'" in caplog.text


def test_a_mistake_on_a_page_is_answered_under_the_name_of_its_request(reviews, serve_bundle):
    with serve_bundle(reviews) as (client, service):
        service.meters.page = None
        reply = client.get("/metrics", headers={"X-Request-Id": "mine"})
    assert read_error(reply) == (500, "InternalError", "this server made a mistake; its log says which")
    assert reply.headers["x-request-id"] == "mine"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "sentence"),
    [
        ("GET", "/v1/x", 404, "NotFound", "there is nothing at GET '/v1/x'; ask with POST /predict, read /docs"),
        ("GET", "/predict", 405, "MethodNotAllowed", "GET '/predict' is not possible; allowed: POST"),
        ("DELETE", "/readyz", 405, "MethodNotAllowed", "DELETE '/readyz' is not possible; allowed: GET, HEAD"),
    ],
)
def test_wrong_addresses_and_methods_are_json_too(client, method, path, status, kind, sentence):
    assert read_error(client.request(method, path)) == (status, kind, sentence)


@pytest.mark.parametrize("path", ["/healthz", "/livez"])
def test_the_process_is_alive(client, path):
    assert client.get(path).json() == {"status": "alive"}
    assert client.head(path).status_code == 200


def test_a_draining_server_is_not_ready_but_still_answers(reviews, serve_bundle):
    with serve_bundle(reviews) as (client, service):
        assert client.get("/readyz").json() == {"status": "ready", "model": "reviews:3/fp32"}
        service.draining = True
        assert read_error(client.get("/readyz")) == (
            503,
            "NotReady",
            "this server is about to stop: send requests to another one",
        )
        reply = predict(client, "great")
    assert (reply.status_code, reply.headers["Connection"]) == (200, "close")


def test_the_metrics_have_these_names_and_labels(reviews, serve_bundle):
    with serve_bundle(reviews) as (client, _):
        predict(client, ["great", "great " * 100])
        client.post("/predict", content=b"{")
        page = client.get("/metrics").text
    names = set(re.findall(r"^# TYPE (tunewright_\w+)", page, re.MULTILINE))
    assert names == {
        *("tunewright_requests_total", "tunewright_requests_in_flight", "tunewright_request_duration_seconds"),
        *("tunewright_tokenize_seconds", "tunewright_inference_seconds", "tunewright_model_info"),
        "tunewright_bodies_bytes",
        *("tunewright_texts_total", "tunewright_truncated_texts_total", "tunewright_tokens_total"),
        *("tunewright_padded_tokens_total", "tunewright_written_tokens_total", "tunewright_first_token_seconds"),
        *("tunewright_queue_seconds", "tunewright_run_rows", "tunewright_ready"),
        *("tunewright_refusals_total", "tunewright_swaps_total", "tunewright_shadow_answers_total", "tunewright_drift"),
    }
    labels = 'model="reviews",task="text-classification",variant="fp32",version="3"'
    of_protocol = labels.replace("task=", 'protocol="huggingface",task=')
    assert f'tunewright_requests_total{{code="200",{of_protocol}}} 1.0' in page
    assert f'tunewright_requests_total{{code="400",{of_protocol}}} 1.0' in page
    assert f"tunewright_texts_total{{{labels}}} 2.0" in page
    assert f"tunewright_truncated_texts_total{{{labels}}} 1.0" in page
    assert "process_resident_memory_bytes" in page


def test_a_request_that_is_sent_away_is_counted_by_the_limit_that_it_met(reviews, serve_bundle):
    with serve_bundle(reviews, inputs=1) as (client, _):
        predict(client, ["great", "great"])
        page = client.get("/metrics").text
    assert 'tunewright_refusals_total{reason="inputs"} 1.0' in page


def test_the_docs_page_needs_no_internet(client):
    page = client.get("/docs")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 3
    assert all(client.get("/" + address).status_code == 200 for address in addresses)
    assert "http" not in "".join(addresses)


def test_many_callers_at_once_get_each_their_own_answer(client):
    def ask(index):
        word, label = ("great", "positive") if index % 2 else ("terrible", "negative")
        return predict(client, f"{word} {'lamp ' * (index % 7)}").json()[0]["label"] == label

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))


@pytest.mark.parametrize("address", ["/predict", "/predict/"])
def test_a_slash_at_the_end_is_the_same_address(client, address):
    assert client.post(address, json={"inputs": "great"}).status_code == 200


def test_a_compressed_body_is_refused_with_the_header_that_says_so(client):
    reply = client.post("/predict", content=b"\x1f\x8b", headers={"Content-Encoding": "br"})
    sentence = "the body is compressed (Content-Encoding: 'br'); send it as it is, or in gzip"
    assert read_error(reply) == (400, "Malformed", sentence)
