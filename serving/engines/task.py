"""What a module of the tasks must bring."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.engines.engine import Engine
from tunewright.serving.request.schema import Schema
from tunewright.serving.runtime.capacity import Capacity


@dataclass(frozen=True)
class Shapes:
    """What a request and an answer of the task look like, for the OpenAPI document."""

    item: Schema
    """One of the `inputs`."""
    parameters: Schema
    """The `parameters`."""
    answer: Schema
    """The answer to one input."""
    example: object
    """One of the `inputs`, spelt out."""
    example_parameters: Mapping[str, object] = field(default_factory=dict)
    """What the example is asked with, such that it is answered at once."""
    beside: tuple[str, ...] = ()
    """Parameters that may also stand beside `inputs`."""
    body_bytes: int = 1 << 20
    """Largest body of a request, where the settings do not say."""


Input = TypeVar("Input")
Parameters = TypeVar("Parameters")


@runtime_checkable
class Task(Protocol[Input, Parameters]):
    """From a request to model inputs, from model outputs to an answer."""

    def shapes(self, model: ModelFile) -> Shapes:
        """How requests and answers look for this model."""

    def read_inputs(self, inputs: object, model: ModelFile) -> tuple[list[Input], bool]:
        """The `inputs` of a request as a list, and whether the caller sent a list."""

    def read_parameters(self, parameters: Mapping[str, object], model: ModelFile) -> Parameters:
        """The `parameters` of a request, checked."""

    def open_engine(
        self, folder: Path, model: ModelFile, variant: str, capacity: Capacity
    ) -> Engine[Input, Parameters, Any, Any]:
        """Load one variant."""
