"""What a module in this folder must bring."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from serving.bundle import ModelFile
from serving.encoding import Text
from serving.schema import Schema
from serving.session import Array


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


class Task(Protocol):
    """From a request to model inputs, from model outputs to an answer."""

    def shapes(self, model: ModelFile) -> Shapes:
        """How requests and answers look for this model."""

    def read_inputs(self, inputs: Any, model: ModelFile) -> tuple[list[Text], bool]:
        """The `inputs` of a request as a list, and whether the caller sent a list."""

    def read_parameters(self, parameters: Mapping[str, Any], model: ModelFile) -> Any:
        """The `parameters` of a request, checked."""

    def answers(self, logits: Array, model: ModelFile, parameters: Any) -> list[Any]:
        """One answer per row of the logits `[N, labels]`."""
