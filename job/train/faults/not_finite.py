"""A loss or a gradient that is not finite: the run ends there, or the step is left out and counted."""

from typing import Literal, NamedTuple

from tunewright.job.errors import TrainingFailed
from tunewright.job.progress.events import warn
from tunewright.job.train.state import Progress

CALMER = "lower train.learning_rate or train.clip, or set train.precision to fp32"
MOST_IN_A_ROW = 10
"""Steps that are left out one after another before the run ends all the same: nothing is learned any more."""


class Fault(NamedTuple):
    """A number that is not finite."""

    what: str
    """Such as `loss`."""
    value: float
    rows: list[int]
    """The training rows it comes from, counted from 0."""
    place: str = ""
    """The step, where it is not the one under way."""


def leave_out(fault: Fault, progress: Progress, what: Literal["stop", "skip"]) -> None:
    """Count the step under way as left out; TrainingFailed where the settings do not want that, or none is learned."""
    shown = ", ".join(str(row) for row in fault.rows[:8]) + (", ..." if len(fault.rows) > 8 else "")
    place = fault.place or f"step {progress.step + 1} in epoch {progress.epoch}"
    text = f"the {fault.what} of {place} is {fault.value} (training rows {shown}, counted from 0)"
    if what == "stop":
        raise TrainingFailed(f"{text}; {CALMER}")
    progress.in_a_row += 1
    progress.trained.left_out += 1
    if progress.in_a_row == MOST_IN_A_ROW:
        raise TrainingFailed(f"{text}, and so were the {MOST_IN_A_ROW - 1} steps before it; {CALMER}")
    warn("train", f"{text}: the step is left out, {progress.trained.left_out} so far")
