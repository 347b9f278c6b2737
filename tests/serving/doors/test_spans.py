"""Traces, as a collector receives them over OTLP."""

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tunewright.serving.doors.spans import Spans, open_tracing
from tunewright.serving.watch.seen import Seen, begin, now_seen

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
TEXT = "amazing terrible unmistakable"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(BaseHTTPRequestHandler):
    """Takes what is exported, as a real one does."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch):
    """The environment that names a collector, and what that has received."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.received = []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    name, url = "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv(name, url)  # where the exporter reads it
    yield {name: url}, server.received
    server.shutdown()
    thread.join()
    server.server_close()


def spans_of(received):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    assert {path for path, _ in received} == {"/v1/traces"}
    exports = [ExportTraceServiceRequest.FromString(body) for _, body in received]
    resources = [resource for export in exports for resource in export.resource_spans]
    assert {value(resource.resource.attributes, "service.name") for resource in resources} == {"tunewright"}
    return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]


def value(attributes, name):
    found = next(one.value for one in attributes if one.key == name)
    return getattr(found, found.WhichOneof("value"))


def test_a_request_is_a_span_of_the_trace_of_its_caller(guarded, collector, capfd):
    environ, received = collector
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "abc"}
    with guarded(environ=environ, access_log=True) as client:
        client.post("/predict", json={"inputs": [TEXT, TEXT]}, headers=headers)
    [span] = [one for one in spans_of(received) if one.name.startswith("POST")]
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("POST /predict", TRACE, PARENT)
    expected = {
        "http.request.method": "POST", "http.route": "/predict", "http.response.status_code": 200,
        "tunewright.request_id": "abc", "tunewright.protocol": "huggingface", "tunewright.rows": 2,
        "tunewright.model": "reviews", "tunewright.version": "3", "tunewright.variant": "fp32",
    }  # fmt: skip
    assert {name: value(span.attributes, name) for name in expected} == expected
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 60e9
    assert TEXT.encode() not in b"".join(body for _, body in received)
    [line] = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"request"' in line]
    assert line["trace"] == TRACE


def test_probes_are_no_spans_and_a_refusal_begins_a_trace_of_its_own(guarded, collector):
    environ, received = collector
    with guarded(environ=environ) as client:
        client.get("/readyz")
        client.post("/predict", content=b"{", headers={"traceparent": "nonsense"})
    [span] = spans_of(received)
    assert (span.name, span.parent_span_id) == ("POST /predict", b"")
    assert value(span.attributes, "http.response.status_code") == 400
    assert span.status.code == 0


def test_waiting_and_running_are_spans_beneath_it(collector):
    environ, received = collector
    tracing = open_tracing(environ)

    async def app(scope, receive, send):
        seen = now_seen()
        seen.waited(seen.begun, seen.begun + 0.25)
        seen.ran(seen.begun + 0.25, seen.begun + 0.75)
        seen.status = 503
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask():
        begin(Seen("abc"))
        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
        await Spans(app, tracing)(scope, None, lambda message: asyncio.sleep(0))

    asyncio.run(ask())
    tracing.close()
    spans = {span.name: span for span in spans_of(received)}
    whole, queue, run = spans["POST"], spans["queue"], spans["run"]
    assert {queue.parent_span_id, run.parent_span_id} == {whole.span_id}
    assert queue.end_time_unix_nano - queue.start_time_unix_nano == pytest.approx(0.25e9, rel=0.01)
    assert run.end_time_unix_nano - run.start_time_unix_nano == pytest.approx(0.5e9, rel=0.01)
    assert whole.status.code == 2  # a stream that broke, whatever its head said


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_a_collector_there_is_nothing(environ, capfd):
    assert open_tracing(environ) is None
    assert capfd.readouterr().err == ""


def test_a_package_that_is_missing_is_said_once(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) is None
    [line] = map(json.loads, capfd.readouterr().err.splitlines())
    assert (line["level"], line["message"]) == (
        "warning",
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but there will be no traces: install OpenTelemetry beside this program, "
        "pip install 'tunewright[tracing]'",
    )
