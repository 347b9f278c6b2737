"""What a server keeps of the requests it answers: counts that drift is seen in, and samples where it is told to.

Rows are counted where they are answered, and a sample is redacted there: what waits for the thread that writes is
counts and a bounded number of bytes, however long the store is away. Samples and counts are written as new objects:
nothing is ever changed, and any number of servers may write to one place.
"""

import json
import logging
import random
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tunewright.registry.errors import RegistryError
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.versions.record import Version
from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.profile.distance import Drift, drift, drifts
from tunewright.serving.profile.observation import observe, read_unknown_id
from tunewright.serving.profile.profile import Profile, Tally, read_profile
from tunewright.serving.settings import FeedbackSettings
from tunewright.serving.text.encoding import Encoded
from tunewright.serving.watch.redaction import redaction

_WINDOW = 20_000
"""Rows after which those before weigh half."""
_AT_ONCE = 64
"""Answered texts that are counted together: one by one it takes five times as long, as a run between two of them fills
the caches of the processor."""
_SAMPLE_BYTES = 8 << 20
"""Samples that wait to be written; more are dropped."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where samples and counts go, and how much of what."""

    store: Store
    share: float
    """Of the requests, between 0 and 1, whose inputs and answers are kept."""
    seconds: float
    """Between two writes."""
    redact: Callable[[object], object]


class Feedback:
    """Looks at the answers of one version."""

    def __init__(
        self,
        model: ModelFile,
        name: str,
        number: int,
        *,
        unknown_id: int | None,
        reference: Profile | None,
        place: Place | None = None,
    ) -> None:
        """`place`: None where nothing is to be kept."""
        self.name, self.number = name, number
        self._model, self._unknown_id, self._reference, self._place = model, unknown_id, reference, place
        edges = reference.edges if reference else ()
        self._window, self._unwritten = Tally(edges), Tally(edges)
        self._uncounted: list[tuple[object, object]] = []
        """Rows and their answers."""
        self._samples: list[bytes] = []
        self._sampled_bytes = 0
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="feedback", daemon=True)
        if place is not None:
            self._thread.start()

    @property
    def features(self) -> list[str]:
        """What drift can be seen in."""
        return list(self._reference.counts) if self._reference else []

    def count(self, row: object, answer: object) -> None:
        """A row was answered. Called by any thread; nothing of it is kept but counts."""
        with self._lock:
            self._uncounted.append((row, answer))
            # Files, and texts of many windows, are too large to be held.
            if len(self._uncounted) >= _AT_ONCE or not isinstance(row, Encoded):
                self._count()

    def sample(self, inputs: Sequence[object], answers: Sequence[object]) -> None:
        """A request was answered whole: keep a share of such requests. Called by any thread."""
        if self._place is None or random.random() >= self._place.share:  # noqa: S311  which are kept is no secret
            return
        try:
            for value, answer in zip(inputs, answers, strict=True):
                self._sample(self._place, value, answer)
        except Exception:  # nor must what a package redacts by
            logging.getLogger(__name__).exception("a sample could not be kept")

    def drifts(self) -> list[Drift]:
        """How far what was met lately is from what the version was measured on; nothing without a reference."""
        if self._reference is None:
            return []
        with self._lock:
            self._count()
            return drifts(self._reference, self._window.profile())

    def drift(self, feature: str) -> float:
        """The index of one feature; 0 before anything was met."""
        assert self._reference is not None
        with self._lock:
            self._count()
            met = self._window.counts(feature)
        return drift(feature, self._reference.counts[feature], met).psi if met else 0.0

    def close(self) -> None:
        """Write what is left, and end."""
        if self._place is not None:
            self._is_closing.set()
            self._thread.join(timeout=30)

    def _count(self) -> None:
        """Count what was answered; the lock is held."""
        rows, self._uncounted = self._uncounted, []
        regression = self._model.problem == "regression"
        for row, answer in rows:
            try:
                seen = observe(row, answer, unknown_id=self._unknown_id, regression=regression)
            except Exception:  # what a task answers must not fail a request that is answered
                logging.getLogger(__name__).exception("an answer could not be counted")
                continue
            self._window.add(seen)
            if self._place is not None:
                self._unwritten.add(seen)
            if self._window.rows > _WINDOW:
                self._window.halve()

    def _run(self) -> None:
        assert self._place is not None
        while not self._is_closing.wait(self._place.seconds):
            self._write(self._place)
        self._write(self._place)

    def _sample(self, place: Place, value: object, answer: object) -> None:
        line = json.dumps(place.redact(self._line(value, answer)), ensure_ascii=False, default=_placeholder)
        encoded = line.encode(errors="replace") + b"\n"
        with self._lock:
            if self._sampled_bytes + len(encoded) <= _SAMPLE_BYTES:
                self._samples.append(encoded)
                self._sampled_bytes += len(encoded)

    def _line(self, value: object, answer: object) -> dict[str, object]:
        """One flat object a row, whose columns a labelling tool and the next job read as they are."""
        first = answer[0] if isinstance(answer, list) and answer else answer
        told = {name: first[name] for name in ("label", "score") if isinstance(first, dict) and name in first}
        return {
            "id": secrets.token_hex(8),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": self.number,
            **_columns(value),
            **({f"predicted_{name}": one for name, one in told.items()} or {"answer": answer}),
        }

    def _write(self, place: Place) -> None:
        with self._lock:
            self._count()
            counted, self._unwritten = self._unwritten, Tally(self._unwritten.edges)
            samples, self._samples, self._sampled_bytes = b"".join(self._samples), [], 0
        try:
            if samples:
                place.store.create(self._key("samples", "jsonl"), samples)
            if counted.rows:
                place.store.create(self._key("counts", "json"), counted.profile().model_dump_json().encode())
            self._is_failing = False
        except RegistryError as error:
            if not self._is_failing:
                logging.getLogger(__name__).warning("samples of requests cannot be written, and are dropped: %s", error)
            self._is_failing = True

    def _key(self, kind: str, suffix: str) -> str:
        return f"{prefix(self.name, self.number, kind)}{time_name()}-{secrets.token_hex(4)}.{suffix}"


def open_feedback(folder: Path, model: ModelFile, version: Version, settings: FeedbackSettings) -> Feedback | None:
    """What looks at the answers of the version in this folder; None where there is nothing to compare or keep."""
    reference = read_profile(folder)
    place = None
    if settings.uri is not None:
        redact = redaction([name.strip() for name in settings.redact.split(",") if name.strip()])
        place = Place(open_store(settings.uri), settings.share, settings.seconds, redact)
    if reference is None and place is None:
        return None
    return Feedback(
        model, version.name, version.number, unknown_id=read_unknown_id(folder), reference=reference, place=place
    )


def prefix(name: str, number: int, kind: str) -> str:
    """What the keys of one version's `samples` or `counts` begin with."""
    return f"{name}/{number}/{kind}/"


def time_name() -> str:
    """Now, as the name of an object: names sort by time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%fZ")


def _columns(value: object) -> dict[str, object]:
    if isinstance(value, tuple) and all(isinstance(one, str) for one in value) and len(value) == 2:
        return {"text": value[0], "text_pair": value[1]}
    if isinstance(value, tuple) and all(isinstance(one, dict) for one in value):
        return {"messages": list(value)}
    return dict(value) if isinstance(value, dict) else {"text": value}


def _placeholder(value: object) -> str:
    """What JSON does not have: files are not kept."""
    return f"({len(value):,} bytes)" if isinstance(value, bytes | bytearray) else f"({type(value).__name__})"
