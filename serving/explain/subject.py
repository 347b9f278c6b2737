"""What is explained of one input, whatever kind of input it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.serving.engines.engine import Row
from tunewright.serving.explain.shapley import Numbers, Sets
from tunewright.serving.predictor import Predictor

Told = Mapping[str, object]
"""What a caller is told of a part or of a target, of which JSON can be made."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An input with what the model gave for it."""

    predictor: Predictor
    input: Any
    """As the task has checked it."""
    parameters: Any
    """As the task has checked them."""
    row: Any
    output: Any


@dataclass(frozen=True, slots=True)
class Subject:
    """Numbers that the model gave for an input, and the parts of the input that they may rest on."""

    parts: Sequence[Told]
    """N of them."""
    targets: Sequence[Told]
    """K of them: what each number is the score of."""
    whole_K: Numbers
    """The numbers for the whole input."""
    masked: Callable[[Sets], Row]
    """The row in which the parts are shown that `[N]` says, all others hidden."""
    values: Callable[[Any], Numbers]
    """What the model gave for a row to the numbers `[K]`."""
    are_shares: bool
    """Whether the numbers are probabilities, whose log-odds parts add to."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How an explanation is wanted."""

    budget: int
    """Rows that the model may run for one input."""
    target: str | None = None
    """The label to explain; None: what the model answers."""

    @property
    def most_parts(self) -> int:
        """Parts that so few rows can tell apart: each is hidden once and shown alone once."""
        return max((self.budget - 2) // 2, 1)
