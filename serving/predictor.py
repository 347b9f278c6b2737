"""A bundle that answers. No web in it: the job measures with it, the server serves it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.serving.bundle.model_file import ModelFile, choose_variant, read_model_file
from tunewright.serving.engines.task import Engine, FileEngine, Row, WritingEngine
from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.generation.written import Finish, OnText
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.session import Array, TimeLimit
from tunewright.serving.tasks import TASKS


@dataclass(frozen=True)
class Predictor:
    """One variant of one bundle, loaded. Build it with `open_predictor`."""

    model: ModelFile
    variant: str
    engine: Engine

    def predict(self, inputs: Sequence[Any], parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """One answer per input, in the shape of the task; InputError for a parameter the task does not know."""
        wanted = TASKS[self.model.task].read_parameters(parameters or {}, self.model)
        return self.answers(self.prepare(inputs, wanted), wanted)

    def prepare(self, inputs: Sequence[Any], wanted: Any, *, limit: TimeLimit | None = None) -> Sequence[Row]:
        """Inputs to what the model reads. `wanted`: what the task's `read_parameters` returned."""
        if isinstance(self.engine, FileEngine):
            return self.engine.prepare(inputs, wanted, limit=limit)
        return self.engine.prepare(inputs, wanted)

    def unfolded(self, inputs: Sequence[Any]) -> Iterator[int]:
        """Bytes that each input takes once it is decoded; nothing for tasks that read no files."""
        if isinstance(self.engine, FileEngine):
            yield from self.engine.unfolded(inputs)

    def answers(self, rows: Sequence[Row], wanted: Any, *, limit: TimeLimit | None = None) -> list[Any]:
        """One answer per prepared input."""
        return self.engine.answers(rows, wanted, limit=limit)

    @property
    def writes(self) -> bool:
        """Whether answers can be read while they are written."""
        return isinstance(self.engine, WritingEngine)

    def stream(self, row: Row, wanted: Any, on_text: OnText, *, limit: TimeLimit | None = None) -> Finish:
        """Answer one prepared input piece by piece; InputError for a task that writes no texts."""
        if not isinstance(self.engine, WritingEngine):
            raise InputError(f"{self.model.task} writes no texts, so there is nothing to stream; ask without streaming")
        return self.engine.stream(row, wanted, on_text, limit=limit)

    def outputs(self, inputs: Sequence[Any]) -> list[Array]:
        """Raw numbers of the model, one array per input: what golden cases, parity and measurements compare."""
        return self.engine.outputs(inputs)

    def close(self) -> None:
        """End the threads; runs in flight finish first."""
        self.engine.close()


def open_predictor(folder: Path, *, variant: str | None = None, capacity: Capacity | None = None) -> Predictor:
    """Load one variant of a bundle."""
    model = read_model_file(folder)
    if model.task not in TASKS:
        raise BundleError(f"this version's task is {model.task!r}; this program answers: {', '.join(sorted(TASKS))}")
    name = choose_variant(model, variant)
    return Predictor(model, name, TASKS[model.task].open_engine(folder, model, name, capacity or Capacity()))
