"""What a caller asks, whatever protocol it came by."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """Inputs and parameters, as the task of a model has read and checked them."""

    inputs: Sequence[object]
    """One or more, of which each gets one answer."""
    parameters: object
    """What the task's `read_parameters` returned."""
