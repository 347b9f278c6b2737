"""The columns a task learns from: the sets it knows, and which column of the data plays which part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from tunewright.job.errors import SettingsError
from tunewright.job.settings.data import DataSettings


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


def read_roles(settings: DataSettings, forms: Sequence[Form]) -> Roles:
    """The roles of the settings; SettingsError for one that the task does not have, or a setting without effect."""
    given = {role: str(column) for role, column in settings.columns.items()}
    form = _form(given, forms)
    inputs = {role: given.get(role, role) for role in form.roles if role in (*form.inputs, *form.optional)}
    for role in form.optional:
        if role not in given:
            del inputs[role]
    target = given.get(form.target, form.target)
    columns = [*inputs.values(), *([target] if target else [])]
    example = ", ".join(f"{role}: {at}" for at, role in enumerate((form.inputs[0], form.target)) if role)
    _check_columns(columns, settings.header, f"{{{example}}}")
    return Roles(inputs, target, form.target)


def _form(given: Mapping[str, str], forms: Sequence[Form]) -> Form:
    """The form that has all roles of the settings; of several the first."""
    known = list(dict.fromkeys(role for form in forms for role in form.roles))
    unknown = [role for role in given if role not in known]
    if unknown:
        raise SettingsError(f"data.columns has a role {unknown[0]!r}; this task knows {', '.join(known)}")
    for form in forms:
        if set(given) <= set(form.roles):
            return form
    targets = [role for role in given if role in {form.target for form in forms}]
    if len(targets) > 1:
        raise SettingsError(f"data.columns sets {' and '.join(targets)}; choose one")
    sets = "; ".join(", ".join(form.roles) for form in forms)
    raise SettingsError(f"data.columns sets {', '.join(given)}, which do not belong together; the sets are: {sets}")


def _check_columns(columns: list[str], header: bool, example: str) -> None:
    if not header and not all(column.isdecimal() for column in columns):
        raise SettingsError(
            f"data.header is false, so data.columns must give positions from 0, such as {example}; "
            f"the columns are {', '.join(columns)}"
        )
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise SettingsError(f"data.columns gives two roles to the column {twice[0]!r}; each role needs its own")
