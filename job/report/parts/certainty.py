"""How much the scores are worth: what is wrong among the surest answers, and what a threshold costs and buys."""

from collections.abc import Sequence

import numpy as np

from tunewright.job.measure.rows.answers import LabelAnswers
from tunewright.job.measure.rows.coverage import (
    Point,
    Thresholds,
    area_under_risk,
    at_score,
    by_threshold,
    risk_by_coverage,
)
from tunewright.job.measure.rows.scope import Scope, Told
from tunewright.job.report.html import Html, Number, Section, figure, figures, joined, paragraph, table
from tunewright.job.report.subject import Subject
from tunewright.job.report.svg import Axis, Series, axis_over, lines

_CURVES = 6
"""Labels whose threshold is drawn."""


def certainty(subject: Subject) -> Section | None:
    """None for a task without scores of labels."""
    answers = subject.answers
    if not isinstance(answers, LabelAnswers):
        return None
    points = risk_by_coverage(answers.sure, answers.right)
    plots = [_risk(points, area_under_risk(answers.sure, answers.right))]
    if answers.scores is not None:
        plots += [_threshold(answers, label, subject) for label in drawn_labels(answers)]
    said = (
        "Scores are those of the answers. A caller that takes answers above a score only, and leaves the others to "
        "people, finds here what is wrong among those it takes."
    )
    texts = [paragraph(said), _abstention(subject, answers)]
    if scope := subject.release.scope:
        texts.append(paragraph(told_of(scope)))
        plots.append(_strangers(scope))
    return Section("How sure it is", joined([*texts, figures(plots)]))


def _abstention(subject: Subject, answers: LabelAnswers) -> Html:
    """What comes of the version's own score for "I do not know", which was chosen on other rows."""
    least, risk = subject.release.model.variants[subject.served].min_score, subject.plan.settings.export.abstain
    if least is None or risk is None:
        return Html("")
    point = at_score(answers.sure, answers.right, least)
    return paragraph(
        f"Asked to abstain, it answers from a score of {least:.3f} on, and else says that it does not know. The score "
        f"was chosen on the validation rows, such that surely at most {risk:.2%} of the answers are wrong. Of the test "
        f"rows it answers {point.coverage:.1%}, and {point.risk.value:.2%} of these answers are wrong (95 % interval "
        f"{point.risk.low:.2%} to {point.risk.high:.2%})."
    )


def told_of(scope: Scope) -> str:
    """What the scores tell of rows out of scope, in sentences."""
    low, high = scope.interval
    said = (
        f"{scope.rows:,} rows that have none of the labels were asked too ({scope.variant}). Of a test row and one of "
        f"these the test row has the higher score in {scope.auroc:.1%} of all pairs (AUROC, 95 % interval {low:.1%} to "
        f"{high:.1%}; 50 % if scores told nothing). {_answered(scope.usual)}"
    )
    return said + (f" {_answered(scope.abstaining)} This is where it abstains." if scope.abstaining else "")


def _answered(told: Told) -> str:
    low, high = told.interval
    return (
        f"From a score of {told.score:.3f} on, {told.inside:.1%} of the test rows are answered, and {told.outside:.1%} "
        f"of the rows out of scope ({low:.1%} to {high:.1%})."
    )


def _strangers(scope: Scope) -> Html:
    caption = "Rows out of scope that are answered"
    described = f"A test row has the higher score in {scope.auroc:.1%} of pairs; the later the curve rises, the better."
    xs = [one.inside for one in scope.curve]
    series = [
        Series("answered", xs, [one.outside for one in scope.curve]),
        Series("upper end of 95 %", xs, [one.interval[1] for one in scope.curve]),
        Series("lower end", xs, [one.interval[0] for one in scope.curve]),
    ]
    rows = [
        [Number(f"{one.inside:.1%}"), Number(f"{one.score:.3f}"), Number(f"{one.outside:.1%}"),
         Number(f"{one.interval[0]:.1%} to {one.interval[1]:.1%}")]
        for one in scope.curve
    ]  # fmt: skip
    heads = ["test rows answered", "from score", "rows out of scope answered", "95 % interval"]
    x, y = Axis("share of test rows that is answered", 0, 1), Axis("of the rows out of scope", 0, 1)
    drawn = lines(caption, described, series, x, y)
    return figure(caption, drawn, table("Numbers of the plot", heads, rows, folded=True), described)


def drawn_labels(answers: LabelAnswers) -> list[int]:
    """The second of two labels; of several the commonest that have a row with and a row without them."""
    assert answers.scores is not None
    size = answers.scores.shape[1]
    if answers.truths.ndim == 1:
        return [1] if size == 2 and np.isin(answers.truths, 1).any() else []
    rows = (answers.truths[:, :size] > 0).sum(axis=0)
    order = np.argsort(-rows, kind="stable").tolist()
    return [label for label in order if 0 < rows[label] < len(answers.truths)][:_CURVES]


def _risk(points: Sequence[Point], area: float) -> Html:
    xs = [point.coverage for point in points]
    series = [
        Series("share that is wrong", xs, [point.risk.value for point in points]),
        Series("upper end of 95 %", xs, [point.risk.high for point in points]),
        Series("lower end", xs, [point.risk.low for point in points]),
    ]
    top = max(max(point.risk.value for point in points) * 2, 0.02)
    y = Axis("wrong among the answers", 0, min(1.0, top))
    clipped = [Series(one.name, one.xs, [min(v, y.high) for v in one.ys if v is not None]) for one in series]
    end = points[-1].risk
    caption = "Risk against coverage"
    described = f"With all rows answered {end.value:.1%} is wrong; area under the curve {area:.4f}."
    rows = [
        [Number(f"{point.coverage:.1%}"), Number(f"{point.score:.3f}"), Number(f"{point.risk.value:.2%}"),
         Number(f"{point.risk.low:.2%} to {point.risk.high:.2%}")]
        for point in points
    ]  # fmt: skip
    heads = ["rows answered", "from score", "wrong among them", "95 % interval"]
    drawn = lines(caption, described, clipped, Axis("share of rows that is answered", 0, 1), y)
    return figure(caption, drawn, table("Numbers of the plot", heads, rows, folded=True), described)


def _threshold(answers: LabelAnswers, label: int, subject: Subject) -> Html:
    assert answers.scores is not None
    has = answers.truths == label if answers.truths.ndim == 1 else answers.truths[:, label] > 0
    found = by_threshold(answers.scores[:, label], np.asarray(has))
    name, thresholds = subject.labels[label], subject.release.model.thresholds
    caption = f"Threshold of {name}"
    at = thresholds[label] if thresholds else 0.5
    note = f"The version answers it from {at:.3f} on."
    return figure(caption, _curves(caption, found), _behind(found), note)


def _curves(caption: str, found: Thresholds) -> Html:
    xs = found.scores.tolist()
    series = [
        Series(name, xs, [None if np.isnan(value) else float(value) for value in values])
        for name, values in (("precision", found.precision), ("recall", found.recall), ("F1", found.f1))
    ]
    best = int(np.nanargmax(found.f1))
    described = f"F1 is largest, {found.f1[best]:.3f}, at a threshold of {found.scores[best]:.2f} on these rows."
    return lines(caption, described, series, Axis("threshold", 0, 1), axis_over("", [0.0, 1.0], zero=True))


def _behind(found: Thresholds) -> Html:
    rows = [
        [
            Number(f"{found.scores[at]:.2f}"),
            *(_share(values[at]) for values in (found.precision, found.recall, found.f1)),
        ]
        for at in range(len(found.scores))
    ]
    return table("Numbers of the plot", ["threshold", "precision", "recall", "F1"], rows, folded=True)


def _share(value: float) -> Number:
    return Number("–" if np.isnan(value) else f"{value:.3f}")
