"""What the report of a run is about: all that its sections are drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isinf

from tunewright.job.data.dataset import strings
from tunewright.job.kinds.plan import Plan
from tunewright.job.measure.evaluation import Evaluation
from tunewright.job.measure.metric import METRICS, lower_is_better
from tunewright.job.measure.rows.answers import RowAnswers
from tunewright.job.measure.rows.intervals import Interval
from tunewright.job.measure.rows.label_words import Word
from tunewright.job.report.html import Cell, Number, Quoted
from tunewright.job.steps.release import Release
from tunewright.job.train.state import Trained

_LONGEST = 240
"""Characters of a row that are shown."""


@dataclass(frozen=True)
class Floor:
    """What a linear model of the words reaches on the test rows."""

    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    rows: int
    """Training rows that it was made of."""
    seconds: float


@dataclass(frozen=True)
class LabelWords:
    """What a linear model of the words finds in the training rows."""

    labels: Sequence[Sequence[Word]]
    """Of each label those that speak for it."""
    rows: int
    """Training rows that it was made of."""


@dataclass(frozen=True)
class Holder:
    """The version that the alias of the run points at before it moves."""

    version: str
    metrics: Mapping[str, float]
    """Of the file that it serves by default, on the test rows of its own run."""


@dataclass(frozen=True)
class Subject:
    """A run whose files are made and measured, before they are published."""

    release: Release
    plan: Plan
    trained: Trained
    lineage: Mapping[str, object]
    floor: Floor | None = None
    holder: Holder | None = None
    words: LabelWords | None = None

    @property
    def served(self) -> str:
        """The variant that is served by default."""
        return self.release.model.default_variant

    @property
    def evaluation(self) -> Evaluation:
        """Of that variant on the test rows."""
        return self.release.evaluations[self.served]

    @property
    def answers(self) -> RowAnswers | None:
        """Of that variant; None for a task of which no rows are kept."""
        return self.evaluation.answers

    @property
    def labels(self) -> list[str]:
        """As they are shown: an empty name would be none."""
        return [label or "(empty)" for label in self.release.model.labels]


def told(name: str, value: float) -> str:
    """A figure in the digits that it is worth."""
    is_share = name not in METRICS or METRICS[name].is_share
    return f"{value:.3f}" if is_share else f"{value:,.4g}"


def between(name: str, ends: Sequence[float]) -> str:
    """The ends of an interval."""
    return f"{told(name, ends[0])} to {told(name, ends[1])}"


def with_ends(one: Interval) -> str:
    """A share, with the interval where one is known."""
    return f"{one.value:.3f}" if isinf(one.low) else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def better(name: str) -> str:
    """What is better of a figure, for the head of a column."""
    return f"{name} (lower is better)" if lower_is_better(name) else name


def count(number: int) -> Number:
    """A number of rows in a table."""
    return Number(f"{number:,}")


def shown(value: object) -> Cell:
    """An input as a cell: its texts, cut where they are long."""
    whole = " | ".join(" ".join(one.split()) for one in strings(value))
    return Quoted(cut(whole))


def cut(whole: str) -> str:
    """A text that is no longer than a table has room for."""
    return whole if len(whole) <= _LONGEST else whole[: _LONGEST - 1].rstrip() + "…"
