"""Whether scores mean what they say: how often answers are right by their score, before the temperature and after."""

from collections.abc import Sequence
from math import floor

from tunewright.job.measure.calibration import Bin, Calibration, Reliability
from tunewright.job.report.html import Cell, Html, Number, Section, figure, figures, joined, paragraph, table
from tunewright.job.report.subject import Subject, count
from tunewright.job.report.svg import Axis, Series, lines


def reliability(subject: Subject) -> Section | None:
    """None for a task whose scores promise no probability."""
    found = subject.evaluation.calibration
    if found is None:
        return None
    said = (
        "A score of 0.8 should be right eight times of ten. A dot stands for neighbouring scores, as many in each; on "
        "the dotted line they are as often right as they say, below it less often. "
    )
    told = paragraph(said + _of(found, len(subject.plan.prepared.validation)))
    return Section("Calibration", joined([told, _errors(subject), figures([_diagram(found)])]))


def _of(found: Calibration, rows: int) -> str:
    """`rows`: of validation, where an imported model may have none."""
    if not rows:
        return "The temperature is 1: there were no validation rows to fit it on."
    if found.temperature == 1.0:
        return "The temperature stayed 1: on the validation rows none did better."
    return f"The temperature, {found.temperature:.3f}, was fitted on the validation rows; these are the test rows."


def _errors(subject: Subject) -> Html:
    """Every variant, before and after."""
    rows: list[list[Cell]] = [
        [name, *(Number(one) for one in (f"{found.temperature:.3f}", _ece(found.before), _ece(found.after))),
         Number(f"{found.after.chance:.4f}"), Number(f"{found.before.nll:.4f}"), Number(f"{found.after.nll:.4f}")]
        for name, measured in subject.release.evaluations.items()
        if (found := measured.calibration) is not None
    ]  # fmt: skip
    heads = ["variant", "temperature", "ECE before", "ECE as served", "by chance", "log loss before", "log loss"]
    note = (
        "ECE is the mean distance of a score from how often it is right, with its 95 % interval; by chance: what "
        "scores that are true would show on so few rows."
    )
    return joined([table("Calibration error of the test rows", heads, rows), paragraph(note, "quiet")])


def _ece(found: Reliability) -> str:
    return f"{found.ece:.4f} ({found.interval[0]:.4f} to {found.interval[1]:.4f})"


def _diagram(found: Calibration) -> Html:
    sides = {"before": found.before.bins, "as served": found.after.bins}
    if found.temperature == 1.0:
        del sides["before"]
    series = [
        Series(name, [one.score for one in bins], [one.right for one in bins], marks=True)
        for name, bins in sides.items()
    ]
    least = min(min(one.score, one.right) for bins in sides.values() for one in bins)
    start = min(floor(least * 10) / 10, 0.9)
    caption = "Reliability"
    described = f"Calibration error {found.before.ece:.4f} before the temperature, {found.after.ece:.4f} as served."
    x, y = Axis("mean score", start, 1), Axis("share that is right", start, 1)
    rows = [row for name, bins in sides.items() for row in _rows(name, bins)]
    heads = ["scores", "mean score", "right", "95 % interval", "number"]
    behind = table("Numbers of the plot", heads, rows, folded=True)
    return figure(caption, lines(caption, described, series, x, y, ideal=True), behind, described)


def _rows(name: str, bins: Sequence[Bin]) -> list[list[Cell]]:
    return [
        [name, Number(f"{one.score:.3f}"), Number(f"{one.right:.1%}"), Number(f"{one.low:.1%} to {one.high:.1%}"),
         count(one.count)]
        for one in bins
    ]  # fmt: skip
