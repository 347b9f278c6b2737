"""What a module in this folder must bring."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.generation.written import Finish, OnText
from tunewright.serving.request.schema import Schema
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.session import Array, TimeLimit


@dataclass(frozen=True)
class Shapes:
    """What a request and an answer of the task look like, for the OpenAPI document."""

    item: Schema
    """One of the `inputs`."""
    parameters: Schema
    """The `parameters`."""
    answer: Schema
    """The answer to one input."""
    example: Any
    """One of the `inputs`, spelt out."""
    example_parameters: Mapping[str, Any] = field(default_factory=dict)
    """What the example is asked with, such that it is answered at once."""
    beside: tuple[str, ...] = ()
    """Parameters that may also stand beside `inputs`."""
    body_bytes: int = 1 << 20
    """Largest body of a request, where the settings do not say."""


class Row(Protocol):
    """One input as the model reads it."""

    @property
    def truncated(self) -> bool:
        """Whether a part of the input was left out."""


class Engine(Protocol):
    """One variant of a bundle, loaded; used by several threads at once."""

    def prepare(self, inputs: Sequence[Any], wanted: Any) -> Sequence[Row]:
        """Checked inputs to what the model reads."""

    def answers(self, rows: Sequence[Any], wanted: Any, *, limit: TimeLimit | None = None) -> list[Any]:
        """One answer per prepared input; ModelFault when the model gives numbers that none can be made of."""

    def outputs(self, inputs: Sequence[Any]) -> list[Array]:
        """Raw numbers of the model, one array of any shape per input."""

    def close(self) -> None:
        """End what was started; runs in flight finish first."""


@runtime_checkable
class WritingEngine(Protocol):
    """An engine whose answers can be read while they are written."""

    def stream(self, row: Any, wanted: Any, on_text: OnText, *, limit: TimeLimit | None = None) -> Finish:
        """Answer one prepared input piece by piece, and say why the answer ended.

        The pieces joined are what was written: without the prompt, special tokens, and a stop string.
        """


@runtime_checkable
class FileEngine(Protocol):
    """An engine that reads files, which may unfold into far more than was sent."""

    def unfolded(self, inputs: Sequence[Any]) -> Iterator[int]:
        """Bytes of memory that decoding each input takes, told from the headers of its file alone."""

    def prepare(self, inputs: Sequence[Any], wanted: Any, *, limit: TimeLimit | None = None) -> Sequence[Row]:
        """Decode, and stop between two files once the limit is over."""


class Task(Protocol):
    """From a request to model inputs, from model outputs to an answer."""

    def shapes(self, model: ModelFile) -> Shapes:
        """How requests and answers look for this model."""

    def read_inputs(self, inputs: Any, model: ModelFile) -> tuple[list[Any], bool]:
        """The `inputs` of a request as a list, and whether the caller sent a list."""

    def read_parameters(self, parameters: Mapping[str, Any], model: ModelFile) -> Any:
        """The `parameters` of a request, checked."""

    def open_engine(self, folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> Engine:
        """Load one variant."""
