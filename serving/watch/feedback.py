"""What a server keeps of the requests it answers: counts that drift is seen in, and samples where it is told to.

Answers are handed over through a bounded queue and looked at in a thread of their own, so that no request waits; under
load some are not looked at. Samples and counts are written as new objects: nothing is ever changed, and any number of
servers may write to one place.
"""

import contextlib
import json
import logging
import queue
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tunewright.registry.errors import RegistryError
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.versions.record import Version
from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.profile.distance import Drift, drifts
from tunewright.serving.profile.observation import observe, read_unknown_id
from tunewright.serving.profile.profile import Profile, Tally, read_profile
from tunewright.serving.settings import FeedbackSettings
from tunewright.serving.watch.redaction import redaction

_WAITING = 1000
"""Answered requests that wait to be looked at; more are not looked at."""
_WINDOW = 20_000
"""Rows after which those before weigh half."""
_SAMPLE_BYTES = 8 << 20
"""Samples that wait to be written; more are dropped."""


_Answered = tuple[Sequence[object], Sequence[object], Sequence[object]]
"""Inputs, rows and answers of one request."""


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
        self._samples: list[bytes] = []
        self._sampled_bytes = 0
        self._lock = threading.Lock()
        self._answered: queue.Queue[_Answered | None] = queue.Queue(_WAITING)
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="feedback", daemon=True)
        self._thread.start()

    def saw(self, inputs: Sequence[object], rows: Sequence[object], answers: Sequence[object]) -> None:
        """A request was answered. Called by any thread, and never waits."""
        with contextlib.suppress(queue.Full):
            self._answered.put_nowait((inputs, rows, answers))

    @property
    def features(self) -> list[str]:
        """What drift can be seen in."""
        return list(self._reference.counts) if self._reference else []

    def drifts(self) -> list[Drift]:
        """How far what was met lately is from what the version was measured on; nothing without a reference."""
        if self._reference is None:
            return []
        with self._lock:
            return drifts(self._reference, self._window.profile())

    def close(self) -> None:
        """Write what is left, and end."""
        self._answered.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        due = time.monotonic() + (self._place.seconds if self._place else 0.0)
        while True:
            try:
                one = self._answered.get(timeout=max(due - time.monotonic(), 0.01) if self._place else None)
            except queue.Empty:
                self._write()
                due = time.monotonic() + (self._place.seconds if self._place else 0.0)
                continue
            if one is None:
                self._write()
                return
            try:
                self._look(*one)
            except Exception:  # what a task answers must not end the thread
                logging.getLogger(__name__).exception("an answer could not be counted")
            if self._place and time.monotonic() >= due:
                self._write()
                due = time.monotonic() + self._place.seconds

    def _look(self, inputs: Sequence[object], rows: Sequence[object], answers: Sequence[object]) -> None:
        regression = self._model.problem == "regression"
        with self._lock:
            for row, answer in zip(rows, answers, strict=True):
                seen = observe(row, answer, unknown_id=self._unknown_id, regression=regression)
                self._window.add(seen)
                self._unwritten.add(seen)
            if self._window.rows > _WINDOW:
                self._window.halve()
        if self._place and random.random() < self._place.share:  # noqa: S311  which requests are kept is no secret
            for value, answer in zip(inputs, answers, strict=True):
                self._sample(self._place, value, answer)

    def _sample(self, place: Place, value: object, answer: object) -> None:
        line = json.dumps(place.redact(self._line(value, answer)), ensure_ascii=False, default=_placeholder)
        encoded = line.encode(errors="replace") + b"\n"
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

    def _write(self) -> None:
        place = self._place
        if place is None:
            return
        with self._lock:
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
