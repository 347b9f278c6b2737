"""What is asked of a guess, and what it says: a task, its columns, and what they were told from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunewright.job.commands.guess.profile import Column
from tunewright.job.commands.guess.sample import Sample
from tunewright.job.errors import SettingsError

ROLES = (
    "text text_pair label labels score tokens tags question context answers source target prompt response messages "
    "image audio"
).split()
"""The parts that columns play in any task."""


@dataclass(frozen=True)
class Asked:
    """What the user has settled."""

    task: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Role to column."""
    encoding: str = ""
    """How characters are written as bytes."""


@dataclass(frozen=True)
class Guess:
    """A task and its columns, and what they were told from."""

    task: str
    columns: dict[str, str]
    reason: str
    options: Mapping[str, object] = field(default_factory=dict)
    also: str = ""
    """What else it might be, and how to say so."""


class Unclear(SettingsError):
    """The data can be meant in several ways; the sentence names them."""


@dataclass(frozen=True)
class Filling:
    """A task whose columns are to be found."""

    seen: Sample
    asked: Asked
    task: str

    def given(self, role: str) -> Column | None:
        """The column that the user names for a role."""
        return self.seen.column(self.asked.columns[role]) if role in self.asked.columns else None

    def guess(
        self, columns: Mapping[str, Column], reason: str, *, also: str = "", options: Mapping[str, object] | None = None
    ) -> Guess:
        """The guess with these columns."""
        return Guess(self.task, {role: column.name for role, column in columns.items()}, reason, options or {}, also)
