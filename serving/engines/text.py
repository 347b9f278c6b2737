"""Texts through one graph: encoded, run in batches of like length, and taken apart into one array per text."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.errors import BundleError, ModelFault
from tunewright.serving.runtime.capacity import Capacity, available_cpus
from tunewright.serving.runtime.runs import plan_runs, require_finite
from tunewright.serving.runtime.session import Array, Session, TimeLimit
from tunewright.serving.text.encoding import Encoded, Encoder, Text, check_inputs

Answers = Callable[[Array, ModelFile, Any], list[Any]]
"""Logits `[N, labels]`, the model and the checked parameters to one answer per row."""
Check = Callable[[Sequence[Encoded], Any], None]
"""Encoded rows and the checked parameters; InputError where the two cannot be."""
Take = Callable[[int, Array], Array]
"""The number of a row and its output to what is kept of that output."""


class TextEngine:
    """A tokenizer and a graph from token ids to logits."""

    def __init__(self, folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> None:
        if model.max_length is None:
            raise BundleError(f"model.json of {folder} names no max_length, which a model of texts needs")
        self.encoder = Encoder(
            folder / "tokenizer.json", max_length=model.max_length, padding=model.padding, cleaning=model.cleaning
        )
        # One thread a run and several runs at once beat several threads in one run on rows this short.
        self.session = Session(folder / model.variants[variant].file, threads=1)
        check_inputs(self.session.inputs)
        self._labels = len(model.labels)
        self._tokens_per_run = capacity.tokens_per_run if model.variants[variant].batching == "padded" else 0
        self._pool = ThreadPoolExecutor(capacity.threads or available_cpus(), thread_name_prefix="predictor")

    def run(
        self,
        rows: Sequence[Encoded],
        *,
        limit: TimeLimit | None = None,
        per_token: bool = False,
        take: Take | None = None,
    ) -> list[Array]:
        """Raw outputs of each row, in the order of the rows: `[L]`, or `[T, L]` for its own T tokens where the graph
        answers per token. Several outputs of a graph are stacked on a last axis.

        `take` keeps a part of a row's output as soon as it is there, where all of all rows would fill the memory.
        """
        results: list[Any] = [None] * len(rows)
        plan = plan_runs([len(row) for row in rows], self._tokens_per_run)

        def one_run(indices: list[int]) -> None:
            batch = self.encoder.pad([rows[index] for index in indices], self.session.inputs)
            outputs = self.session.run(batch, limit=limit)
            tokens = (max(len(rows[index]) for index in indices),) if per_token else ()
            for output in outputs:
                self._check_shape(output, (len(indices), *tokens))
            answered = outputs[0] if len(outputs) == 1 else np.stack(outputs, axis=-1)
            for index, row in zip(indices, answered, strict=True):
                own = row[: len(rows[index])] if per_token else row
                results[index] = take(index, own) if take else own

        if len(plan) == 1:
            one_run(plan[0])
        else:
            list(self._pool.map(one_run, plan))
        return results

    def _check_shape(self, output: Array, leading: tuple[int, ...]) -> None:
        """Without this numpy would spread one column over all labels."""
        expected = (*leading, self._labels) if self._labels else (*leading, *output.shape[len(leading) :])
        if output.shape != expected:
            raise ModelFault(f"the graph answers with the shape {output.shape} where {expected} is needed")

    def close(self) -> None:
        """End the threads; runs in flight finish first."""
        self._pool.shutdown(wait=True)


class LogitsEngine:
    """The engine of a task that makes its answer of one row of logits per text."""

    def __init__(
        self,
        folder: Path,
        model: ModelFile,
        variant: str,
        capacity: Capacity,
        answers: Answers,
        check: Check = lambda rows, wanted: None,
    ) -> None:
        self.text = TextEngine(folder, model, variant, capacity)
        self._model, self._answers, self._check = model, answers, check

    def prepare(self, inputs: Sequence[Text], wanted: Any) -> list[Encoded]:
        """Tokenize."""
        rows = self.text.encoder.encode(inputs)
        self._check(rows, wanted)
        return rows

    def answers(self, rows: Sequence[Encoded], wanted: Any, *, limit: TimeLimit | None = None) -> list[Any]:
        """One answer per row."""
        if not rows:
            return []
        logits = np.stack(self.text.run(rows, limit=limit))
        require_finite(logits)
        return self._answers(logits, self._model, wanted)

    def outputs(self, inputs: Sequence[Text]) -> list[Array]:
        """Logits `[labels]` of each text."""
        return self.text.run(self.text.encoder.encode(inputs))

    def close(self) -> None:
        """End the threads."""
        self.text.close()
