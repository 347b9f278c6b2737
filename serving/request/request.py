"""What a caller asks, whatever protocol it came by."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

Steps = Generator[Sequence[Any], Sequence[Any], object]
"""Gives prepared rows to run, is sent what the model gave for each, and returns what comes of them."""


@dataclass(frozen=True, slots=True)
class Request:
    """Inputs and parameters, as the task of a model has read and checked them."""

    inputs: Sequence[object]
    """One or more, of which each gets one answer."""
    parameters: object
    """What the task's `read_parameters` returned."""
    steps: Callable[[Any], Steps] | None = None
    """What is asked of an input in place of its answer, where that takes rows of another making."""
    is_prepared: bool = False
    """Whether the inputs are rows already, of which what the model gives is wanted as it is."""
