"""What `tunewright tune` varies, and what it says of the settings that it found, as settings."""

import json
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from tunewright.job.settings.fields import Settings

Value = bool | int | float | str | None


class Range(Settings):
    """Numbers from `low` to `high`, both of them included."""

    low: int | float
    """The smallest."""
    high: int | float
    """The largest."""
    log: bool = False
    """Whether each order of magnitude is as likely as another."""
    step: int | float | None = Field(default=None, gt=0)
    """Take low, low + step, ... only."""

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"the range is empty: low ({self.low:g}) must be below high ({self.high:g})")
        if self.log and self.low <= 0:
            raise ValueError(f"a range with log: true begins above 0, and low is {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("step and log: true contradict each other; remove one of them")
        return self


def _read(given: object) -> object:
    """What a flag or a variable says as JSON."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        return given


def _kind(given: object) -> Literal["range", "list"]:
    return "range" if isinstance(given, dict | Range) else "list"


Choice = Annotated[
    Annotated[Range, Tag("range")] | Annotated[list[Value], Field(min_length=2), Tag("list")],
    Discriminator(_kind),
    BeforeValidator(_read),
]
"""What one setting may be: a range of numbers, or two or more values."""


class Searched(Settings):
    """How the settings of a file were found: written by `tunewright tune`, told in the report of the version."""

    study: str
    """Where the study lies."""
    settings: list[str]
    """What was varied."""
    trials: int = Field(ge=1)
    """Trials that have ended, those that were cut short or failed among them."""
    looks: int = Field(ge=1)
    """Measurements of the validation rows in all trials: the more, the more the best figure flatters."""
    metric: str
    """The figure that decided."""
    value: float
    """What the best trial reached on the validation rows."""
