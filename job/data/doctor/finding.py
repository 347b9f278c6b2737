"""What the doctor says of data: facts of each side, and findings with example rows and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tunewright.job.settings.data import FindingKind

Severity = Literal["serious", "warning", "note"]
"""`serious`: the figures of the model will be wrong, or rows teach what is not true; `warning`: look at these rows;
`note`: good to know."""
SHOWN = 5
"""Example rows of a finding."""


@dataclass(frozen=True)
class Example:
    """One row, told by where it stands and never by what it says."""

    side: str
    file: str
    line: int

    @property
    def text(self) -> str:
        """As a sentence names it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Finding:
    """One thing that is odd about the rows of a side."""

    kind: FindingKind
    severity: Severity
    side: str
    rows: int
    share: float
    """Of the rows of the side (of its tokens for `unknown_tokens`): what `data.gate` holds against its bound."""
    text: str
    """One sentence."""
    advice: str
    examples: tuple[Example, ...] = ()
    said: bool = False
    """Whether reading the data has told it already."""


@dataclass(frozen=True)
class Lengths:
    """How many tokens the rows of a side have."""

    median: int
    most: int
    """95 % of the rows have no more."""
    longest: int
    limit: int
    """Rows are cut to so many."""
    cut: float
    """Share of the rows that are."""


@dataclass(frozen=True)
class SideFacts:
    """What one side holds."""

    rows: int
    labels: Mapping[str, int] = field(default_factory=dict)
    """Rows of each label or tag."""
    characters: tuple[int, int, int] | None = None
    """Of a text: in the middle, 95 % have no more, the longest."""
    scripts: Mapping[str, float] = field(default_factory=dict)
    """Share of the rows whose letters are mostly of a script."""
    tokens: Lengths | None = None
    unknown_tokens: float | None = None
    """Share of the tokens that are the unknown token, in the first rows."""


@dataclass(frozen=True)
class ColumnFacts:
    """One column of the files of the training rows."""

    name: str
    role: str
    """The part it plays; empty where the job does not use it."""
    holds: str
    empty: float
    """Share of the rows in which it is empty."""


@dataclass(frozen=True)
class Diagnosis:
    """All that the doctor found."""

    sides: Mapping[str, SideFacts]
    findings: Sequence[Finding]
    columns: Sequence[ColumnFacts] = ()
    likeliest: Mapping[str, str] = field(default_factory=dict)
    """Role to column, as `tunewright init` would guess it; empty where it would ask."""
