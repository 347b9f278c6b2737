"""Traces for OpenTelemetry, where the environment names a collector; where it names none, nothing is imported.

No text of a caller is in them.
"""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright.serving.doors.exempt import PROBES
from tunewright.serving.events import emit
from tunewright.serving.watch.seen import Seen, now_seen

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_CONTEXT = (b"traceparent", b"tracestate")


class Tracing:
    """Where the spans of this process go."""

    def __init__(self, provider: "TracerProvider") -> None:
        self.provider = provider

    def close(self) -> None:
        """Send what is not sent yet."""
        self.provider.shutdown()


def open_tracing(environ: Mapping[str, str] = os.environ) -> Tracing | None:
    """Where spans go, as OpenTelemetry's own variables say it; None where they name no collector."""
    named = next((name for name in _ENDPOINTS if environ.get(name)), None)
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if named is None or is_off or environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return None
    try:
        return Tracing(_provider(environ))
    except ImportError:
        emit(
            "no_tracing",
            f"{named} is set, but there will be no traces: install OpenTelemetry beside this program, "
            "pip install 'tunewright[tracing]'",
            level="warning",
        )
        return None


def _provider(environ: Mapping[str, str]) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    is_named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if is_named else {"service.name": "tunewright"}))
    # From a thread of its own, so that nobody waits for a collector.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Spans:
    """A span for each request, with its waiting and its runs beneath it. It continues the trace of its caller."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app, self._kind = app, SpanKind.SERVER
        self._tracer = tracing.provider.get_tracer("tunewright")
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and time it."""
        if scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        seen = now_seen()
        span = self._begun(scope, seen)
        try:
            await self._app(scope, receive, sent)
        finally:
            self._end(span, scope["method"], seen, status)

    def _begun(self, scope: Scope, seen: Seen) -> "Span":
        carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CONTEXT}
        span: Span = self._tracer.start_span(
            scope["method"],
            context=self._propagator.extract(carrier),
            kind=self._kind,
            start_time=_nanoseconds(seen.begun),
            attributes={"http.request.method": scope["method"], "tunewright.request_id": seen.id},
        )
        seen.trace = f"{span.get_span_context().trace_id:032x}"
        return span

    def _end(self, span: "Span", method: str, seen: Seen, status: int) -> None:
        """Write down what has been learned, and what is known only now: when it waited, and when it ran."""
        from opentelemetry.trace import StatusCode, set_span_in_context

        ended = seen.status or status
        if seen.route:
            span.update_name(f"{method} {seen.route}")
            span.set_attributes({"http.route": seen.route, "tunewright.protocol": seen.protocol})
        if seen.served is not None:
            span.set_attributes({f"tunewright.{name}": value for name, value in seen.served._asdict().items()})
        span.set_attributes({"http.response.status_code": status, "tunewright.rows": seen.rows})
        if ended >= 500:
            span.set_status(StatusCode.ERROR, f"it ended as {ended}")
        beneath = set_span_in_context(span)
        for name, begun, over in seen.stretches:
            part = self._tracer.start_span(name, context=beneath, start_time=_nanoseconds(begun))
            part.end(_nanoseconds(over))
        span.end()


def _nanoseconds(moment: float) -> int:
    """A reading of `time.monotonic` by the clock on the wall."""
    return time.time_ns() - int((time.monotonic() - moment) * 1e9)
