"""A verdict: what the gates of an alias said of a version. The log of the alias keeps it with the move."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from tunewright.registry.versions.layout import Line, Number
from tunewright.registry.versions.numbered import EXACT
from tunewright.registry.versions.record import Figure

MOST_SAID = 240
"""Characters about a gate."""


@dataclass(frozen=True)
class Gate:
    """One gate, with the figures that decided."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    name: Line  # as in min.accuracy
    passed: Annotated[bool, Field(strict=True)]
    says: Annotated[str, Field(max_length=MOST_SAID)]
    found: Figure | None = None  # None where it could not be told
    asked: Figure | None = None


@dataclass(frozen=True)
class Verdict:
    """All gates of an alias, held against one version."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    policy: Number  # the entry of the log of the gates
    holder: Number | None  # the version at which the alias pointed; None where it pointed nowhere
    gates: tuple[Gate, ...]
    test_rows: Line | None = None  # the digest of the rows on which the version was measured; None where it tells none
    rows: Annotated[int, Field(strict=True, ge=0)] | None = None  # how many these are
    decided: Annotated[int, Field(strict=True, ge=0)] = 0  # versions of the model measured on them, this one too

    @property
    def missed(self) -> list[Gate]:
        """The gates that the version does not pass."""
        return [gate for gate in self.gates if not gate.passed]

    @property
    def reuse(self) -> str:
        """How often the test rows have been asked; empty where that is not known."""
        if self.rows is None:
            return ""
        versions = f"{self.decided} version" + ("" if self.decided == 1 else "s")
        return f"these {self.rows:,} test rows have measured {versions}"
