"""How it learned: loss, figures, rate, gradient and pace over the run."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from tunewright.job.report.html import Html, Number, Section, facts, figure, figures, joined, paragraph, table
from tunewright.job.report.subject import Subject
from tunewright.job.report.svg import Series, axis_over, lines, short

Row = Mapping[str, float]
_PLACES = ("epoch", "step")
_TABLE = 60
"""Rows of the table behind a plot of steps, at most."""


def learning(subject: Subject) -> Section | None:
    """None where nothing was learned."""
    trained = subject.trained
    if not trained.history and not trained.trace:
        return None
    parts = [paragraph(_said(subject)), figures([*_of_measurements(trained.history), *_of_steps(trained.trace)])]
    if trained.pace:
        parts.append(facts([("Pace", trained.pace.text), ("Time in training steps", f"{trained.seconds:,.1f} s")]))
    return Section("Learning", joined(parts))


def _said(subject: Subject) -> str:
    trained, train = subject.trained, subject.plan.settings.train
    kept = f"; the weights of epoch {trained.best_epoch} were kept" if trained.best_epoch else ""
    return (
        f"{len(trained.history)} measurements in {train.epochs} epochs at most{kept}. {trained.precision} on "
        f"{trained.device}, {train.batch_size} rows a step, learning rate {train.learning_rate:g}, seed {train.seed}."
    )


def _of_measurements(history: Sequence[Row]) -> list[Html]:
    """One plot for the losses, one for each other figure that was measured, of validation and of training rows."""
    names = [name for name in (history[0] if history else {}) if name not in _PLACES]
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.removeprefix("train_"), []).append(name)
    return [_measured(group, members, history) for group, members in groups.items()]


def _measured(group: str, members: Sequence[str], history: Sequence[Row]) -> Html:
    xs = [float(place) for place in range(1, len(history) + 1)]
    called = {group: "training loss" if group == "loss" else "validation", f"train_{group}": "training rows"}
    series = [Series(called[name], xs, [row.get(name) for row in history], marks=True) for name in members]
    values = [value for one in series for value in one.ys if value is not None]
    caption = "Training loss" if group == "loss" else group
    described = f"{caption} at {len(xs)} measurements: " + _course(series)
    drawn = lines(caption, described, series, axis_over("measurement", xs), axis_over(group, values))
    heads = ["measurement", *(name for name in _PLACES if name in history[0]), *(one.name for one in series)]
    rows = [
        [
            Number(str(place + 1)),
            *(Number(f"{row[name]:g}") for name in _PLACES if name in history[0]),
            *(Number(_told(one.ys[place])) for one in series),
        ]
        for place, row in enumerate(history)
    ]
    return figure(caption, drawn, table("Numbers of the plot", heads, rows, folded=True))


def _course(series: Sequence[Series]) -> str:
    parts = []
    for one in series:
        known = [value for value in one.ys if value is not None]
        if known:
            parts.append(f"{one.name} from {short(known[0])} to {short(known[-1])}")
    return "; ".join(parts) + "."


def _told(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def tokens_per_second(trace: Sequence[Row]) -> list[float | None]:
    """Tokens of the steps since the point before, by the seconds in them; None for the first point."""
    found: list[float | None] = [None]
    for before, after in pairwise(trace):
        seconds = after["seconds"] - before["seconds"]
        found.append((after["tokens"] - before["tokens"]) / seconds if seconds > 0 else None)
    return found


def _of_steps(trace: Sequence[Row]) -> list[Html]:
    if len(trace) < 2:
        return []

    def of(name: str) -> list[float | None]:
        return [row[name] for row in trace]

    plots: list[tuple[str, str, Callable[[], list[float | None]], bool]] = [
        ("Loss of single steps", "loss", lambda: of("loss"), False),
        ("Learning rate", "rate", lambda: of("rate"), False),
        ("Gradient norm before clipping", "norm", lambda: of("norm"), True),
    ]
    if trace[-1]["tokens"]:
        plots.append(("Tokens per second", "tokens/s", lambda: tokens_per_second(trace), False))
    return [_stepped(caption, unit, trace, ys(), log) for caption, unit, ys, log in plots]


def _stepped(caption: str, unit: str, trace: Sequence[Row], ys: Sequence[float | None], log: bool) -> Html:
    xs = [row["step"] for row in trace]
    known = [value for value in ys if value is not None]
    wide = log and min(known) > 0 and max(known) > 20 * min(known)
    y = axis_over(unit, known, zero=not wide, log=wide)
    one = Series(caption, xs, [None if wide and value is not None and value <= 0 else value for value in ys])
    described = (
        f"{caption} over {xs[-1]:,.0f} steps: from {short(known[0])} to {short(known[-1])}." if known else caption
    )
    every = -(-len(xs) // _TABLE)
    rows = [
        [Number(f"{x:,.0f}"), Number("–" if value is None else f"{value:.5g}")]
        for x, value in list(zip(xs, ys, strict=True))[::every]
    ]
    return figure(
        caption,
        lines(caption, described, [one], axis_over("step", xs, zero=True), y),
        table("Numbers of the plot", ["step", unit], rows, folded=True),
    )
