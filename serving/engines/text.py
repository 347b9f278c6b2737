"""Texts through one graph: encoded, run in batches of like length, and taken apart into one array per text."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.engines.engine import VECTOR
from tunewright.serving.errors import BundleError, ModelFault
from tunewright.serving.request.texts import characters
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.runs import finite, plan_runs
from tunewright.serving.runtime.session import Array, Session, TimeLimit
from tunewright.serving.runtime.workers import Workers
from tunewright.serving.text.encoding import Encoded, Encoder, Text, check_inputs

Parameters = TypeVar("Parameters")
AnswerOf = Callable[[Array, ModelFile, Parameters], object]
"""Logits `[labels]` of a row, the model and the checked parameters to the answer."""
Check = Callable[[Sequence[Encoded], Parameters, int], None]
"""Encoded rows, the checked parameters and the number of the first row; InputError where the two cannot be."""
Take = Callable[[int, Array], Array]
"""The number of a row and its output to what is kept of that output."""

_CHARACTERS_PER_TOKEN = 4
_SPECIAL_TOKENS = 2
"""Of ordinary texts, for estimates."""


def open_encoder(folder: Path, model: ModelFile) -> Encoder:
    """The tokenizer of a bundle with the limits of its model."""
    if model.max_length is None:
        raise BundleError(f"model.json of {folder} names no max_length, which a model of texts needs")
    return Encoder(
        folder / "tokenizer.json", max_length=model.max_length, padding=model.padding, cleaning=model.cleaning
    )


class TextEngine:
    """A tokenizer and a graph from token ids to logits."""

    def __init__(self, folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> None:
        self.encoder = open_encoder(folder, model)
        self.session = Session(folder / model.variants[variant].file, threads=1, provider=capacity.provider)
        check_inputs(self.session.inputs)
        self._answers = [node.name for node in self.session.onnx.get_outputs() if node.name != VECTOR]
        self._labels = len(model.labels)
        self.run_size = capacity.tokens_per_run if model.variants[variant].batching == "padded" else 0
        self._workers = Workers(capacity)

    def run(
        self,
        rows: Sequence[Encoded],
        *,
        limit: TimeLimit | None = None,
        per_token: bool = False,
        take: Take | None = None,
    ) -> list[Array]:
        """Raw outputs of each row, in the order of the rows: `[L]`, or `[T, L]` for its own T tokens where the graph
        answers per token. Several outputs of a graph are stacked on a last axis. A row that wants its vector gets that.

        `take` keeps a part of a row's output as soon as it is there, where all of all rows would fill the memory.
        """
        results: dict[int, Array] = {}

        def one_run(indices: Sequence[int]) -> None:
            answered = self.run_once([rows[index] for index in indices], limit=limit, per_token=per_token)
            for index, own in zip(indices, answered, strict=True):
                results[index] = take(index, own) if take else own

        self._workers.each(one_run, plan_runs([len(row) for row in rows], self.run_size))
        return [results[index] for index in range(len(rows))]

    def run_once(
        self, rows: Sequence[Encoded], *, limit: TimeLimit | None = None, per_token: bool = False
    ) -> list[Array]:
        """The same of rows that share a run, in this thread."""
        names = [*self._answers, VECTOR] if any(row.wants_vector for row in rows) else self._answers
        outputs = self.session.run(self.encoder.pad(rows, self.session.inputs), outputs=names, limit=limit)
        vectors = outputs[len(self._answers) :]
        del outputs[len(self._answers) :]
        tokens = (max(map(len, rows)),) if per_token else ()
        for output in outputs:
            self._check_shape(output, (len(rows), *tokens))
        joined = outputs[0] if len(outputs) == 1 else np.stack(outputs, axis=-1)
        answered = [own[: len(row)] if per_token else own for own, row in zip(joined, rows, strict=True)]
        return [vectors[0][at] if row.wants_vector else answered[at] for at, row in enumerate(rows)]

    def estimate(self, text: object) -> int:
        """Tokens of a text that is not cut."""
        return characters(text) // _CHARACTERS_PER_TOKEN + _SPECIAL_TOKENS

    def _check_shape(self, output: Array, leading: tuple[int, ...]) -> None:
        """Without this numpy would spread one column over all labels."""
        expected = (*leading, self._labels) if self._labels else (*leading, *output.shape[len(leading) :])
        if output.shape != expected:
            raise ModelFault(f"the graph answers with the shape {output.shape} where {expected} is needed")

    def close(self) -> None:
        """End the threads; runs in flight finish first."""
        self._workers.close()


class LogitsEngine(Generic[Parameters]):
    """The engine of a task that makes its answer of one row of logits per text."""

    def __init__(
        self,
        folder: Path,
        model: ModelFile,
        variant: str,
        capacity: Capacity,
        answer: AnswerOf[Parameters],
        check: Check[Parameters] = lambda rows, parameters, first: None,
    ) -> None:
        self.text = TextEngine(folder, model, variant, capacity)
        self._model, self._answer, self._check = model, answer, check
        self.run_size = self.text.run_size

    def estimate(self, one: Text) -> int:
        """Tokens, of which no more are read than the model takes."""
        return min(self.text.estimate(one), self.text.encoder.max_length)

    def prepare(
        self, inputs: Sequence[Text], parameters: Parameters, *, limit: TimeLimit | None = None, first: int = 0
    ) -> list[Encoded]:
        """Tokenize."""
        rows = self.text.encoder.encode(inputs, first=first)
        self._check(rows, parameters, first)
        return rows

    def parts(self, row: Encoded) -> tuple[Encoded]:
        """The row."""
        return (row,)

    def size(self, part: Encoded) -> int:
        """Its tokens."""
        return len(part)

    def run_once(self, parts: Sequence[Encoded], *, limit: TimeLimit | None = None) -> list[Array]:
        """The logits `[labels]` of each row of a run."""
        return self.text.run_once(parts, limit=limit)

    def joined(self, row: Encoded, outputs: Sequence[Array]) -> Array:
        """Its logits."""
        return outputs[0]

    def run(self, rows: Sequence[Encoded], *, limit: TimeLimit | None = None) -> Iterator[Array]:
        """The logits `[labels]` of each row."""
        return finite(self.text.run(rows, limit=limit))

    def answer(self, row: Encoded, output: Array, parameters: Parameters) -> object:
        """What the task makes of the logits."""
        return self._answer(output, self._model, parameters)

    def outputs(self, inputs: Sequence[Text]) -> list[Array]:
        """Logits `[labels]` of each text."""
        return self.text.run(self.text.encoder.encode(inputs))

    def close(self) -> None:
        """End the threads."""
        self.text.close()
