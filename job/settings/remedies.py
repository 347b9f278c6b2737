"""Remedies that have settings of their own: where one label is decided."""

from typing import Self

from pydantic import Field, model_validator

from tunewright.job.settings.fields import Settings


class ThresholdSettings(Settings):
    """Where one label begins: precision traded against recall on the validation rows."""

    label: str = Field(min_length=1)
    """The label, often a rare one that must not be missed."""
    recall: float | None = Field(default=None, gt=0, le=1)
    """Find at least this share of its validation rows, with as few false alarms as that takes."""
    precision: float | None = Field(default=None, gt=0, le=1)
    """Let at least this share of what is called so be right, and find as many as that leaves."""

    @model_validator(mode="after")
    def _asks_for_one(self) -> Self:
        if (self.recall is None) == (self.precision is None):
            raise ValueError("give one of recall and precision")
        return self
