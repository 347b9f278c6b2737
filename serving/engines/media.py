"""Images and recordings through one graph: decoded, run a few at a time, answered by their logits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.engines.engine import VECTOR
from tunewright.serving.engines.text import AnswerOf
from tunewright.serving.errors import BundleError, InputError, ModelFault, TooLarge
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.memory import Memory
from tunewright.serving.runtime.runs import finite
from tunewright.serving.runtime.session import Array, Session, TimeLimit
from tunewright.serving.runtime.workers import Workers
from tunewright.serving.text.encoding import Encoder

ROWS_PER_RUN = 8
"""Rows of one run where rows may share one."""

DECODED_AT_ONCE = 128 << 20
"""Bytes that all files being decoded at the same time may unfold into."""

Batch = Mapping[str, NDArray[np.generic]]
Input = TypeVar("Input")
Features = TypeVar("Features")
Parameters = TypeVar("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class MediaRow(Generic[Features]):
    """One input as the model reads it."""

    features: Features
    """What the loader made of it."""
    truncated: bool = False
    """Whether its end was left out."""
    wants_vector: bool = False
    """Whether it is answered by its vector, not by its logits."""


class MediaEngine(Generic[Input, Features, Parameters]):
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
        load: Callable[[Input], MediaRow[Features]],
        unfolded: Callable[[Input], int],
        collate: Callable[[Sequence[Features]], Batch],
        answer: AnswerOf[Parameters],
        encoder: Encoder | None = None,
    ) -> None:
        """`encoder`: what reads the texts beside the files, where there are any."""
        self.encoder = encoder
        described = model.variants[variant]
        self.session = Session(folder / described.file, threads=1, provider=capacity.provider)
        self._logits = self.session.onnx.get_outputs()[0].name
        self._model, self._load, self._unfolded, self._collate, self._answer = model, load, unfolded, collate, answer
        self._memory = Memory(DECODED_AT_ONCE)
        self.run_size = ROWS_PER_RUN if described.batching == "padded" else 0
        self._workers = Workers(capacity)

    def unfolded(self, inputs: Sequence[Input]) -> Iterator[int]:
        """Bytes of memory that decoding each input takes; no file is decoded for it."""
        for number, one in enumerate(inputs):
            yield _numbered(number, self._unfolded, one)

    def prepare(
        self,
        inputs: Sequence[Input],
        parameters: Parameters | None,
        *,
        limit: TimeLimit | None = None,
        first: int = 0,
    ) -> list[MediaRow[Features]]:
        """Decode; DeadlineExceeded between two files once the limit is over."""

        def one_file(number: int) -> MediaRow[Features]:
            if limit is not None:
                limit.check()
            with self._memory.taken(_numbered(first + number, self._unfolded, inputs[number])):
                return _numbered(first + number, self._load, inputs[number])

        return self._workers.each(one_file, range(len(inputs)))

    def estimate(self, one: Input) -> int:
        """All rows take alike."""
        return 1

    def parts(self, row: MediaRow[Features]) -> tuple[MediaRow[Features]]:
        """The row."""
        return (row,)

    def size(self, part: MediaRow[Features]) -> int:
        """All rows take alike."""
        return 1

    def run_once(self, parts: Sequence[MediaRow[Features]], *, limit: TimeLimit | None = None) -> list[Array]:
        """The logits `[labels]` of each row of a run, or its vector `[D]`."""
        arrays = self._collate([part.features for part in parts])
        missing = [name for name in self.session.inputs if name not in arrays]
        if missing:
            raise BundleError(f"the graph wants an input {missing[0]!r}; these files give {', '.join(arrays)}")
        names = [self._logits, VECTOR] if any(part.wants_vector for part in parts) else [self._logits]
        given = {name: arrays[name] for name in self.session.inputs}
        logits, *vectors = self.session.run(given, outputs=names, limit=limit)
        expected = (len(parts), len(self._model.labels))
        if logits.shape != expected:
            raise ModelFault(f"the graph answers with the shape {logits.shape} where {expected} is needed")
        return [(vectors[0] if part.wants_vector else logits)[row] for row, part in enumerate(parts)]

    def joined(self, row: MediaRow[Features], outputs: Sequence[Array]) -> Array:
        """Its logits."""
        return outputs[0]

    def run(self, rows: Sequence[MediaRow[Features]], *, limit: TimeLimit | None = None) -> Iterator[Array]:
        """The logits `[labels]` of each row."""
        most = max(self.run_size, 1)
        groups = [rows[start : start + most] for start in range(0, len(rows), most)]
        runs = self._workers.each(lambda group: self.run_once(group, limit=limit), groups)
        return finite(row for logits in runs for row in logits)

    def answer(self, row: MediaRow[Features], output: Array, parameters: Parameters) -> object:
        """What the task makes of the logits."""
        return self._answer(output, self._model, parameters)

    def outputs(self, inputs: Sequence[Input]) -> list[Array]:
        """Logits `[labels]` of each input."""
        return list(self.run(self.prepare(inputs, None)))

    def close(self) -> None:
        """End the threads; runs in flight finish first."""
        self._workers.close()


def _numbered(number: int, work: Callable[[Input], Result], one: Input) -> Result:
    """Work on one input of several, whose number an error then names."""
    try:
        return work(one)
    except (InputError, TooLarge) as error:
        raise type(error)(f"input {number}: {error}") from error
