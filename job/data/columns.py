"""The columns a task learns from: the sets it knows, and which column of the data plays which part."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class Form:
    """One set of columns that a task can learn from, by the parts they play."""

    inputs: tuple[str, ...]
    optional: tuple[str, ...] = ()
    """More inputs, which may be absent."""
    target: str = ""
    """What is to be learned; empty where the inputs are all there is."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Every part."""
        return (*self.inputs, *self.optional, *((self.target,) if self.target else ()))


@dataclass(frozen=True)
class Roles:
    """Which column plays which part."""

    inputs: dict[str, str]
    """Role of each input to the name of its column, in the order of the task's form."""
    target: str
    """Name of the column to learn; empty where there is none."""
    target_role: str
    """`label`, `labels`, `score`, ...; empty where there is none."""

    @property
    def names(self) -> tuple[str, ...]:
        """The parts themselves, in the order of `columns`."""
        return (*self.inputs, *((self.target_role,) if self.target else ()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns that are used."""
        return (*self.inputs.values(), *((self.target,) if self.target else ()))


class Options(BaseModel):
    """Settings that only one task has (`options:` of a job)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
