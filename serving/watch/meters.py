"""What the process counts and times, in the form that Prometheus reads."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the histograms: one short text on a quick core up to the default deadline."""


class Served(NamedTuple):
    """Which model an observation is of: the labels that each figure has."""

    model: str
    version: str
    task: str
    variant: str


class Meters:
    """The figures of one process, whatever versions it serves. Each name begins with `tunewright_`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "Answered requests to predict, by HTTP status.", "code")
        self._texts = self._counter("texts", "Texts (or pairs) answered.")
        self._truncated = self._counter("truncated_texts", "Texts cut to the length of the model.")
        self._request_seconds = self._histogram("request_duration_seconds", "A request, from arrival to answer.")
        self._tokenize_seconds = self._histogram("tokenize_seconds", "Cleaning and tokenizing all texts of a request.")
        self._inference_seconds = self._histogram("inference_seconds", "Running the model on all texts of a request.")
        self._in_flight = Gauge(
            "tunewright_requests_in_flight", "Requests that wait or are being answered.", registry=self._registry
        )
        self._bodies_bytes = Gauge(
            "tunewright_bodies_bytes",
            "Bytes of bodies that are read, wait or are being answered.",
            registry=self._registry,
        )
        self._info = self._gauge("model_info", "Always 1; the version served is in the labels.", "digest")
        ProcessCollector(registry=self._registry)

    def process(self, *, in_flight: Callable[[], float], bodies_bytes: Callable[[], float]) -> None:
        """What is in the house, whichever version it is for; asked for each page."""
        self._in_flight.set_function(in_flight)
        self._bodies_bytes.set_function(bodies_bytes)

    def serves(self, served: Served, *, digest: str) -> None:
        """A version is there: its figures begin at 0."""
        for counter in (self._texts, self._truncated):
            counter.labels(*served)
        for histogram in (self._request_seconds, self._tokenize_seconds, self._inference_seconds):
            histogram.labels(*served)
        self._info.labels(*served, digest).set(1)

    def answered(self, served: Served, code: int, seconds: float) -> None:
        """One request to predict is done."""
        self._requests.labels(*served, str(code)).inc()
        self._request_seconds.labels(*served).observe(seconds)

    def tokenizing(self, served: Served) -> AbstractContextManager[object]:
        """While the texts of a request are cleaned and tokenized."""
        return self._tokenize_seconds.labels(*served).time()

    def inferring(self, served: Served) -> AbstractContextManager[object]:
        """While the model runs on the texts of a request."""
        return self._inference_seconds.labels(*served).time()

    def computed(self, served: Served, *, texts: int, truncated: int) -> None:
        """The texts of one request have their answers."""
        self._texts.labels(*served).inc(texts)
        self._truncated.labels(*served).inc(truncated)

    def page(self) -> bytes:
        """The page that Prometheus scrapes."""
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str, *more: str) -> Counter:
        return Counter(f"tunewright_{name}", meaning, (*Served._fields, *more), registry=self._registry)

    def _histogram(self, name: str, meaning: str) -> Histogram:
        return Histogram(f"tunewright_{name}", meaning, Served._fields, registry=self._registry, buckets=_SECONDS)

    def _gauge(self, name: str, meaning: str, *more: str) -> Gauge:
        return Gauge(f"tunewright_{name}", meaning, (*Served._fields, *more), registry=self._registry)
