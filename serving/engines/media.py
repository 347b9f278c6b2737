"""Images and recordings through one graph: decoded, run a few at a time, answered by their logits."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.engines.text import Answers
from tunewright.serving.errors import BundleError, InputError, ModelFault, TooLarge
from tunewright.serving.request.files import read_bytes
from tunewright.serving.request.texts import shown
from tunewright.serving.runtime.capacity import Capacity, available_cpus
from tunewright.serving.runtime.runs import require_finite
from tunewright.serving.runtime.session import Array, Session, TimeLimit

ROWS_PER_RUN = 8
"""Rows of one run where rows may share one."""

DECODED_AT_ONCE = 128 << 20
"""Bytes that all files being decoded at the same time may unfold into."""

Batch = Mapping[str, NDArray[Any]]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class MediaRow:
    """One input as the model reads it."""

    features: Any
    """What the loader made of it."""
    truncated: bool = False
    """Whether its end was left out."""


def read_files(inputs: Any, name: str) -> tuple[list[bytes], bool]:
    """The bytes of the files of a request, each in base64 or as `{name: base64}`; whether they came as a list."""
    if not isinstance(inputs, list):
        return [read_file(inputs, name, "inputs")], False
    if not inputs:
        raise InputError("'inputs' is an empty list: send at least one file in base64")
    return [read_file(item, name, f"inputs[{index}]") for index, item in enumerate(inputs)], True


def read_file(item: Any, name: str, place: str) -> bytes:
    """The bytes of one file."""
    content = item.get(name) if isinstance(item, dict) and set(item) == {name} else item
    if not isinstance(content, str):
        raise InputError(f'{place} is {shown(item)}; send a file in base64, or {{"{name}": base64}}')
    try:
        return read_bytes(content)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


class Room:
    """Memory that decoding may take: who wants more than is free waits. A file larger than all of it goes alone."""

    def __init__(self, size: int) -> None:
        self._free = self._size = size
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold so many bytes of it."""
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


def _numbered(number: int, work: Callable[[Any], Result], one: Any) -> Result:
    """Work on one input of several, whose number an error then names."""
    try:
        return work(one)
    except (InputError, TooLarge) as error:
        raise type(error)(f"input {number}: {error}") from error


class MediaEngine:
    """One variant of a bundle that reads files.

    `load`: one checked input to a row. `unfolded`: the bytes that this takes, from the header of its file. `collate`:
    rows to the tensors of the graph.
    """

    def __init__(
        self,
        folder: Path,
        model: ModelFile,
        variant: str,
        capacity: Capacity,
        *,
        load: Callable[[Any], MediaRow],
        unfolded: Callable[[Any], int],
        collate: Callable[[Sequence[Any]], Batch],
        answers: Answers,
    ) -> None:
        described = model.variants[variant]
        self.session = Session(folder / described.file, threads=1)
        self._model, self._load, self._unfolded, self._collate, self._answers = model, load, unfolded, collate, answers
        self._room = Room(DECODED_AT_ONCE)
        self._rows_per_run = ROWS_PER_RUN if described.batching == "padded" else 1
        self._pool = ThreadPoolExecutor(capacity.threads or available_cpus(), thread_name_prefix="predictor")

    def unfolded(self, inputs: Sequence[Any]) -> Iterator[int]:
        """Bytes of memory that decoding each input takes; no file is decoded for it."""
        for number, one in enumerate(inputs):
            yield _numbered(number, self._unfolded, one)

    def prepare(self, inputs: Sequence[Any], wanted: Any, *, limit: TimeLimit | None = None) -> list[MediaRow]:
        """Decode; DeadlineExceeded between two files once the limit is over."""

        def one_file(number: int, one: Any) -> MediaRow:
            if limit is not None:
                limit.check()
            with self._room.taken(_numbered(number, self._unfolded, one)):
                return _numbered(number, self._load, one)

        return list(self._pool.map(one_file, range(len(inputs)), inputs))

    def answers(self, rows: Sequence[MediaRow], wanted: Any, *, limit: TimeLimit | None = None) -> list[Any]:
        """One answer per row."""
        if not rows:
            return []
        logits = np.stack(self._run(rows, limit))
        require_finite(logits)
        return self._answers(logits, self._model, wanted)

    def outputs(self, inputs: Sequence[Any]) -> list[Array]:
        """Logits `[labels]` of each input."""
        return self._run(self.prepare(inputs, None), None)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True)

    def _run(self, rows: Sequence[MediaRow], limit: TimeLimit | None) -> list[Array]:
        groups = [rows[start : start + self._rows_per_run] for start in range(0, len(rows), self._rows_per_run)]

        def one_run(group: Sequence[MediaRow]) -> Array:
            arrays = self._collate([row.features for row in group])
            missing = [name for name in self.session.inputs if name not in arrays]
            if missing:
                raise BundleError(f"the graph wants an input {missing[0]!r}; these files give {', '.join(arrays)}")
            (logits,) = self.session.run({name: arrays[name] for name in self.session.inputs}, limit=limit)[:1]
            expected = (len(group), len(self._model.labels))
            if logits.shape != expected:
                raise ModelFault(f"the graph answers with the shape {logits.shape} where {expected} is needed")
            return logits

        return [row for logits in self._pool.map(one_run, groups) for row in logits]
