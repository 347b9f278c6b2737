"""A bundle that answers. No web in it: the job measures with it, the server serves it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tunewright.serving.bundle.model_file import ModelFile, choose_variant, read_model_file
from tunewright.serving.bundle.neighbours import Neighbours, open_neighbours
from tunewright.serving.engines.engine import Engine, FileEngine, Row, WritingEngine
from tunewright.serving.engines.task import Task
from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.generation.sequences import Finish, OnText
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.session import Array, TimeLimit
from tunewright.serving.tasks import TASKS
from tunewright.serving.text.encoding import shared_tokenizer


@dataclass(frozen=True)
class Predictor:
    """One variant of one bundle, loaded. Build it with `open_predictor`."""

    folder: Path
    model: ModelFile
    variant: str
    task: Task[Any, Any]
    engine: Engine[Any, Any, Any, Any]

    def predict(self, inputs: Sequence[object], parameters: Mapping[str, object] | None = None) -> list[Any]:
        """One answer per input, in the shape of the task; InputError for a parameter the task does not know."""
        checked = self.task.read_parameters(parameters or {}, self.model)
        return self.answers(self.prepare(inputs, checked), checked)

    def prepare(self, inputs: Sequence[object], parameters: object, *, limit: TimeLimit | None = None) -> Sequence[Row]:
        """Inputs to what the model reads. `parameters`: what the task's `read_parameters` returned."""
        rows: Sequence[Row] = self.engine.prepare(inputs, parameters, limit=limit)
        return rows

    def unfolded(self, inputs: Sequence[object]) -> Iterator[int]:
        """Bytes that each input takes once it is decoded; nothing for tasks that read no files."""
        if isinstance(self.engine, FileEngine):
            yield from self.engine.unfolded(inputs)

    def answers(self, rows: Sequence[Row], parameters: object, *, limit: TimeLimit | None = None) -> list[Any]:
        """One answer per prepared input of one request."""
        outputs = self.engine.run(rows, limit=limit)
        return [self.engine.answer(row, output, parameters) for row, output in zip(rows, outputs, strict=True)]

    @property
    def temperature(self) -> float:
        """What the logits of the variant are divided by before they become scores."""
        return self.model.variants[self.variant].temperature

    # Once: to look at all that an engine has takes longer than to read a request.
    @cached_property
    def writes(self) -> bool:
        """Whether answers can be read while they are written."""
        return isinstance(self.engine, WritingEngine)

    def stream(self, row: Row, on_text: OnText, *, limit: TimeLimit | None = None) -> Finish:
        """Answer one prepared input piece by piece; InputError for a task that writes no texts."""
        if not isinstance(self.engine, WritingEngine):
            raise InputError(f"{self.model.task} writes no texts, so there is nothing to stream; ask without streaming")
        return self.engine.stream(row, on_text, limit=limit)

    def outputs(self, inputs: Sequence[object]) -> list[Array]:
        """Raw numbers of the model, one array per input: what golden cases, parity and measurements compare."""
        return self.engine.outputs(inputs)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of a model of texts, which pads and cuts nothing."""
        return shared_tokenizer(self.folder / "tokenizer.json")

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """The training rows that the version carries, opened when first asked for."""
        return open_neighbours(self.folder)

    def vectors(self, inputs: Sequence[object]) -> list[Array]:
        """The vector `[D]` of each input, of which a graph that hands them out makes its logits."""
        rows: Any = self.prepare(inputs, self.task.read_parameters({}, self.model))
        return list(self.engine.run([replace(row, wants_vector=True) for row in rows]))

    def close(self) -> None:
        """End the threads; runs in flight finish first."""
        self.engine.close()


def open_predictor(folder: Path, *, variant: str | None = None, capacity: Capacity | None = None) -> Predictor:
    """Load one variant of a bundle."""
    model = read_model_file(folder)
    if model.task not in TASKS:
        raise BundleError(f"this version's task is {model.task!r}; {_needed(model)}")
    task = TASKS[model.task]
    name = choose_variant(model, variant)
    return Predictor(folder, model, name, task, task.open_engine(folder, model, name, capacity or Capacity()))


def _needed(model: ModelFile) -> str:
    if model.requires:
        return f"install the package that answers it beside this program: {', '.join(model.requires)}"
    return f"this program answers: {', '.join(sorted(TASKS))}"
