"""What the server counts and times, in the form that Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_LABELS = ("model", "version", "task", "variant")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the histograms: one short text on a quick core up to the default deadline."""


class Meters:
    """The figures of one served version. Each name begins with `tunewright_` and has one value per label."""

    def __init__(self, *, model: str, version: str, task: str, variant: str, digest: str) -> None:
        self._registry = CollectorRegistry()
        self._values = (model, version, task, variant)
        self._requests = self._counter("requests", "Answered requests to predict, by HTTP status.", "code")
        self.texts = self._counter("texts", "Texts (or pairs) answered.").labels(*self._values)
        self.truncated = self._counter("truncated_texts", "Texts cut to the length of the model.").labels(*self._values)
        self.request_seconds = self._histogram("request_duration_seconds", "A request, from arrival to answer.")
        self.tokenize_seconds = self._histogram("tokenize_seconds", "Cleaning and tokenizing all texts of a request.")
        self.inference_seconds = self._histogram("inference_seconds", "Running the model on all texts of a request.")
        self.in_flight = self._gauge("requests_in_flight", "Requests that wait or are being answered.")
        self.bodies_bytes = self._gauge("bodies_bytes", "Bytes of bodies that are read, wait or are being answered.")
        self._gauge("model_info", "Always 1; the version served is in the labels.", digest=digest).set(1)
        ProcessCollector(registry=self._registry)

    def answered(self, code: int, seconds: float) -> None:
        """One request to predict is done."""
        self._requests.labels(*self._values, str(code)).inc()
        self.request_seconds.observe(seconds)

    def page(self) -> bytes:
        """The page that Prometheus scrapes."""
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str, *more: str) -> Counter:
        return Counter(f"tunewright_{name}", meaning, (*_LABELS, *more), registry=self._registry)

    def _histogram(self, name: str, meaning: str) -> Histogram:
        whole = Histogram(f"tunewright_{name}", meaning, _LABELS, registry=self._registry, buckets=_SECONDS)
        return whole.labels(*self._values)

    def _gauge(self, name: str, meaning: str, **more: str) -> Gauge:
        whole = Gauge(f"tunewright_{name}", meaning, (*_LABELS, *more), registry=self._registry)
        return whole.labels(*self._values, *more.values())
