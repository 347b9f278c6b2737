"""What the process counts and times, in the form that Prometheus reads."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import Field, dataclass, fields
from functools import partial
from typing import Any, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tunewright.serving.settings import Limits

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the histograms: one short text on a quick core up to the default deadline."""
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_AT_ONCE = 256
"""Observations that are counted together: one by one they take several times as long, as a run between two of them
fills the caches of the processor."""
SWAPS = ("swapped", "stepped_back", "unreachable", "damaged", "refused", "fault")
"""How a try to bring another version in can end."""
_LIMIT = re.compile(r"SERVING_LIMITS__([A-Z_]+)")


class Served(NamedTuple):
    """Which model an observation is of: the labels that each figure has."""

    model: str
    version: str
    task: str
    variant: str

    def __str__(self) -> str:
        return f"{self.model}:{self.version}/{self.variant}"


@dataclass(frozen=True, slots=True)
class _Figures:
    """What is counted of each version. Bound to one, its labels are looked up once: that costs more than counting."""

    texts: Counter
    truncated_texts: Counter
    tokens: Counter
    padded_tokens: Counter
    written_tokens: Counter
    request_duration_seconds: Histogram
    tokenize_seconds: Histogram
    inference_seconds: Histogram
    queue_seconds: Histogram
    run_rows: Histogram
    first_token_seconds: Histogram


_MEANINGS = {
    "texts": "Texts (or pairs) answered.",
    "truncated_texts": "Texts cut to the length of the model.",
    "tokens": "Tokens of the rows that the model has run on, without padding.",
    "padded_tokens": "Tokens that the model has run on, padding included.",
    "written_tokens": "Tokens that the model has written.",
    "request_duration_seconds": "A request, from arrival to answer.",
    "tokenize_seconds": "Cleaning and tokenizing: all texts of a request, some of a large one.",
    "inference_seconds": "One run of the model, whoever asked; of a text that is written, all its steps.",
    "queue_seconds": "Waiting of a row, or of a request, for its run of the model.",
    "run_rows": "Rows in one run of the model.",
    "first_token_seconds": "From the arrival of a request to the first token that is written for it.",
}


class Meters:
    """The figures of one process, whatever versions it serves. Each name begins with `tunewright_`."""

    def __init__(self) -> None:
        # Prometheus of today notes itself when a series began; these gauges would double the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._all = _Figures(**{field.name: self._figure(field) for field in fields(_Figures)})
        self._noted: deque[tuple[Callable[[float], None], float]] = deque()
        """What is counted with the others."""
        self._counting = threading.Lock()
        self._of: dict[Served, _Figures] = {}
        self._codes: dict[tuple[Served, str, int], Counter] = {}
        """Requests by protocol and status; looked up once, as the others."""
        self._requests = self._counter(
            "requests",
            "Answered requests to predict, by protocol and HTTP status; a stream that broke has the status of its end.",
            *Served._fields,
            "protocol",
            "code",
        )
        self._refusals = self._counter(
            "refusals", "Requests sent away: the limit that they met, or what is missing.", "reason"
        )
        self._swaps = self._counter("swaps", "Tries to bring another version into service.", "model", "outcome")
        self._shadowed = self._counter(
            "shadow_answers",
            "Answers of a version that runs beside the one that answers, and whether both agree.",
            *Served._fields,
            "agrees",
        )
        self._in_flight = self._gauge("requests_in_flight", "Requests that wait or are being answered.")
        self._bodies_bytes = self._gauge("bodies_bytes", "Bytes of bodies that are read, wait or are being answered.")
        self._ready = self._gauge("ready", "1 while requests should be sent here, as /readyz has it.")
        self._drift = self._gauge(
            "drift",
            "How far what was met lately is from the rows that the version was measured on: the population stability "
            "index of a feature; 0.1 is a change, 0.25 a large one.",
            *Served._fields,
            "feature",
        )
        self._info = self._gauge(
            "model_info", "Always 1; the version served is in the labels.", *Served._fields, "digest"
        )
        ProcessCollector(registry=self._registry)

    def process(
        self,
        *,
        in_flight: Callable[[], float],
        bodies_bytes: Callable[[], float],
        ready: Callable[[], float] = lambda: 1,
    ) -> None:
        """What is in the house, whichever version it is for; asked for each page."""
        self._in_flight.set_function(in_flight)
        self._bodies_bytes.set_function(bodies_bytes)
        self._ready.set_function(ready)

    def serves(self, served: Served, *, digest: str) -> None:
        """A version is there: its figures begin at 0, and those of its model's swaps, of which the first one would not
        be seen to rise."""
        self._figures(served)
        for outcome in SWAPS:
            self._swaps.labels(served.model, outcome)
        self._info.labels(*served, digest).set(1)

    def retires(self, served: Served) -> None:
        """A version is gone and drained: its figures leave the page, which would grow with every version."""
        self._count()
        self._of.pop(served, None)
        self._codes = {key: counter for key, counter in self._codes.items() if key[0] != served}
        for field in fields(_Figures):
            getattr(self._all, field.name).remove_by_labels(served._asdict())
        for metric in (self._requests, self._shadowed, self._drift, self._info):
            metric.remove_by_labels(served._asdict())

    def drifts(self, served: Served, features: Iterable[str], psi: Callable[[str], float]) -> None:
        """What this version meets is compared with what it was measured on; asked for each page."""
        for feature in features:
            self._drift.labels(*served, feature).set_function(partial(psi, feature))

    def answered(self, served: Served, code: int, seconds: float, *, protocol: str = "") -> None:
        """One request to predict is done."""
        self._note(self._answers(served, protocol, code).inc, 1)
        self._note(self._figures(served).request_duration_seconds.observe, seconds)

    def refused(self, reason: str) -> None:
        """A request is sent away. `reason`: a limit such as `requests`, or `key`, `not_ready`: few words of ours."""
        self._refusals.labels(reason).inc()

    def tokenizing(self, served: Served) -> AbstractContextManager[object]:
        """While the texts of a request are cleaned and tokenized."""
        return _Timed(self, self._figures(served).tokenize_seconds)

    def inferring(self, served: Served) -> AbstractContextManager[object]:
        """While the model runs on the texts of a request."""
        return _Timed(self, self._figures(served).inference_seconds)

    def computed(self, served: Served, *, texts: int, truncated: int) -> None:
        """The texts of one request have their answers."""
        figures = self._figures(served)
        self._note(figures.texts.inc, texts)
        if truncated:
            self._note(figures.truncated_texts.inc, truncated)

    def queued(self, served: Served, seconds: float) -> None:
        """A row, or a request, has waited so long for its run."""
        self._note(self._figures(served).queue_seconds.observe, seconds)

    def ran(self, served: Served, *, rows: int, tokens: int, padded: int) -> None:
        """One run of the model is done. `tokens`: of its rows; `padded`: rows times the longest of them."""
        figures = self._figures(served)
        self._note(figures.run_rows.observe, rows)
        self._note(figures.tokens.inc, tokens)
        self._note(figures.padded_tokens.inc, padded)

    def first_token(self, served: Served, seconds: float) -> None:
        """So long after its arrival the first token of an answer is written."""
        self._figures(served).first_token_seconds.observe(seconds)

    def wrote(self, served: Served, tokens: int) -> None:
        """So many tokens are written."""
        self._figures(served).written_tokens.inc(tokens)

    def swapped(self, model: str, outcome: str) -> None:
        """Another version was to be brought into service. `outcome`: `swapped`, or why not, in a word of ours."""
        self._swaps.labels(model, outcome).inc()

    def shadowed(self, served: Served, *, agrees: bool) -> None:
        """A version beside the one that answers has answered too: `served` is the one beside."""
        self._shadowed.labels(*served, str(agrees).lower()).inc()

    def page(self) -> bytes:
        """The page that Prometheus scrapes."""
        self._count()
        return generate_latest(self._registry)

    def _note(self, count: Callable[[float], None], value: float) -> None:
        """To be counted with others, from any thread."""
        self._noted.append((count, value))
        if len(self._noted) >= _AT_ONCE:
            self._count()

    def _count(self) -> None:
        """Count what was noted."""
        with self._counting:
            for _ in range(len(self._noted)):
                count, value = self._noted.popleft()
                count(value)

    def _answers(self, served: Served, protocol: str, code: int) -> Counter:
        key = (served, protocol, code)
        if (counter := self._codes.get(key)) is None:
            counter = self._codes.setdefault(key, self._requests.labels(*served, protocol, str(code)))
        return counter

    def _figures(self, served: Served) -> _Figures:
        if (figures := self._of.get(served)) is None:
            bound = {field.name: getattr(self._all, field.name).labels(*served) for field in fields(_Figures)}
            figures = self._of.setdefault(served, _Figures(**bound))
        return figures

    def _figure(self, field: Field[Any]) -> Any:
        """The counter or histogram that a field of the figures says it is."""
        name, meaning = field.name, _MEANINGS[field.name]
        if field.type is Counter:
            return self._counter(name, meaning, *Served._fields)
        bounds = _ROWS if name == "run_rows" else _SECONDS
        return Histogram(f"tunewright_{name}", meaning, Served._fields, registry=self._registry, buckets=bounds)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"tunewright_{name}", meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"tunewright_{name}", meaning, labels, registry=self._registry)


@dataclass(slots=True)
class _Timed(AbstractContextManager[None]):
    """Notes how long something took."""

    meters: Meters
    figure: Histogram
    begun: float = 0.0

    def __enter__(self) -> None:
        self.begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.meters._note(self.figure.observe, time.monotonic() - self.begun)


def reason(sentence: str, kind: str) -> str:
    """Why a request was sent away: the limit of this server that the sentence names, else its kind.

    A sentence may repeat what a caller has sent, and nothing of that may become a label.
    """
    named: list[str] = [name.lower() for name in _LIMIT.findall(sentence)]
    if named and named[-1] in Limits.model_fields:
        return named[-1]
    return re.sub("(?<!^)(?=[A-Z])", "_", kind).lower()
