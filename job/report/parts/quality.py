"""The verdict in three sentences, and the figures beside what costs less."""

from collections.abc import Mapping, Sequence

from tunewright.job.measure.metric import lower_is_better
from tunewright.job.measure.rows.answers import LabelAnswers
from tunewright.job.report.html import Cell, Html, Number, Section, figures, joined, paragraph, table
from tunewright.job.report.html import figure as framed
from tunewright.job.report.subject import Subject, better, between, told
from tunewright.job.report.svg import Bar, axis_over, bars


def verdict(subject: Subject) -> Section:
    """What it does and how well; against what; what to look at."""
    sentences = [_how_well(subject), _against(subject), _look_at(subject)]
    warning = f"Not surely better than no model: {subject.release.short}." if subject.release.short else ""
    parts = [Html(f'<div class="verdict">{paragraph(" ".join(sentences))}</div>')]
    parts += [paragraph(warning, "warning")] if warning else []
    return Section("Verdict", joined(parts))


def _how_well(subject: Subject) -> str:
    release, measured = subject.release, subject.evaluation
    name, purpose = release.headline, subject.plan.prepared.task.purpose(release.model)
    return (
        f"{purpose}: the {subject.served} file, which is served by default, reaches {name} "
        f"{told(name, measured.metrics[name])} (95 % interval {between(name, measured.intervals[name])}) on "
        f"{measured.rows:,} test rows."
    )


def _against(subject: Subject) -> str:
    name, release = subject.release.headline, subject.release
    others: list[tuple[str, float]] = []
    if name in release.baseline:
        others.append(("an answer without a model", release.baseline[name]))
    if subject.floor:
        others.append(("a linear model of the words", subject.floor.metrics[name]))
    if subject.holder and name in subject.holder.metrics:
        others.append((f"{subject.holder.version}, which it would replace,", subject.holder.metrics[name]))
    if not others:
        return "There is nothing cheaper to hold it against for this task."
    ends = subject.evaluation.intervals[name]
    return (
        "It is "
        + "; ".join(f"{compared(name, ends, value)} {who} ({told(name, value)})" for who, value in others)
        + "."
    )


def compared(name: str, ends: Sequence[float], value: float) -> str:
    """How an interval lies to a figure of something else."""
    low, high = (-ends[1], -ends[0]) if lower_is_better(name) else (ends[0], ends[1])
    other = -value if lower_is_better(name) else value
    return "surely better than" if low > other else "worse than" if high < other else "not surely better than"


def _look_at(subject: Subject) -> str:
    details = [one for one in subject.evaluation.details if one["rows"]]
    if len(details) > 1:
        worst = min(details, key=lambda one: one["f1"])
        told_worst = f"{worst['label']!r}: F1 {worst['f1']:.3f} on {worst['rows']:,} test rows"
        return f"Of its labels it tells least well {told_worst}."
    answers = subject.answers
    if isinstance(answers, LabelAnswers):
        return f"{int((~answers.right).sum()):,} of its answers are wrong."
    return (
        "The rows that it does worst on are below." if answers else "Its figures are all that is known of single rows."
    )


def quality(subject: Subject) -> Section:
    """Every variant beside no model, a linear model, and the version that holds the alias."""
    release, headline = subject.release, subject.release.headline
    names = list(subject.evaluation.metrics)
    rows: list[list[Cell]] = []
    for variant, measured in release.evaluations.items():
        note = " (left out)" if variant in release.model.left_out else ""
        note = " (served by default)" if variant == subject.served else note
        rows.append([f"{variant}{note}", *_cells(names, measured.metrics, measured.intervals)])
    if subject.holder:
        rows.append([f"{subject.holder.version} (holds the alias)", *_cells(names, subject.holder.metrics, {})])
    if subject.floor:
        rows.append(["linear model of the words", *_cells(names, subject.floor.metrics, subject.floor.intervals)])
    if release.baseline:
        rows.append(["no model", *_cells(names, release.baseline, {})])
    heads = ["answered by", *map(better, names)]
    parts = [table("Figures of the test rows, with 95 % intervals where they are known", heads, rows)]
    parts += [paragraph(f"{name} is left out: {reason}.", "quiet") for name, reason in release.model.left_out.items()]
    parts.append(paragraph(_notes(subject), "quiet"))
    return Section("Quality", joined([*parts, figures([_drawn(subject, headline)])]))


def _cells(
    names: Sequence[str], metrics: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]
) -> list[Number]:
    cells = []
    for name in names:
        value = told(name, metrics[name]) if name in metrics else "–"
        cells.append(Number(f"{value} ({between(name, intervals[name])})" if name in intervals else value))
    return cells


def _notes(subject: Subject) -> str:
    said = ["The test rows were read once, by the code that serves."]
    if floor := subject.floor:
        rows = len(subject.plan.prepared.train)
        of = "all" if floor.rows >= rows else f"{floor.rows:,} of the {rows:,}"
        said.append(
            f"The linear model (TF-IDF with logistic or ridge regression) was made in this run of {of} training rows."
        )
    if subject.holder:
        said.append(
            f"The figures of {subject.holder.version} are of its own run: they compare where its test rows were the "
            "same."
        )
    return " ".join(said)


def _drawn(subject: Subject, name: str) -> Html:
    """The headline of all of them as bars."""
    given = [
        Bar(variant, measured.metrics[name], measured.intervals.get(name))
        for variant, measured in subject.release.evaluations.items()
    ]
    if subject.holder and name in subject.holder.metrics:
        given.append(Bar(subject.holder.version, subject.holder.metrics[name]))
    if subject.floor:
        given.append(Bar("linear model", subject.floor.metrics[name], subject.floor.intervals.get(name)))
    if name in subject.release.baseline:
        given.append(Bar("no model", subject.release.baseline[name]))
    values = [value for bar in given for value in (bar.value, *(bar.interval or ()))]
    axis = axis_over(name, values, zero=True)
    rows: list[list[Cell]] = [
        [bar.name, Number(told(name, bar.value)), Number(between(name, bar.interval) if bar.interval else "–")]
        for bar in given
    ]
    behind = table("Numbers of the plot", ["answered by", name, "95 % interval"], rows, folded=True)
    caption = f"{name} of the test rows"
    return framed(
        caption, bars(caption, "; ".join(f"{bar.name} {told(name, bar.value)}" for bar in given), given, axis), behind
    )
