"""Training that ends in time: an epoch is measured on a few rows, then as many epochs are run as there is time for."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tunewright.job.batches.side import Rows
from tunewright.job.kinds.plan import DataFacts, Plan, Prepared
from tunewright.job.progress.events import quiet, say, warn
from tunewright.job.steps.encode import encode_sides
from tunewright.job.steps.epochs import with_epochs
from tunewright.job.steps.teach import teach

_FIRST = 64
"""Training rows that are measured at first; four times as many where that is over too soon."""
_SHARE = 0.02
"""Of the time there is, what an epoch that is measured shall take at least."""
_LONGEST = 5.0
"""Seconds of such an epoch that tell enough, however much time there is."""
_MARGIN = 0.9
"""Of the time there is, what is planned for: steps differ, and other programs run."""


_TRAINING = 3
"""What a token costs in training as against validation: forward, and twice as much on the way back."""


@dataclass(frozen=True)
class Budget:
    """What there is time for."""

    epochs: int
    rows: int
    """Training rows."""


def within_minutes(plan: Plan, sides: tuple[Rows, Rows], work: Path, kept: Path) -> tuple[Plan, tuple[Rows, Rows]]:
    """The plan and its rows, cut down to what ends within `train.minutes`.

    What was chosen is kept in a file, so that a run that goes on after a stop is the same one.
    """
    if plan.prepared.task.objective(plan).idle:
        return plan, sides
    plan = with_epochs(plan, len(sides[0]))
    if kept.is_file():
        budget = Budget(**json.loads(kept.read_text()))
        say("budget", f"{budget.epochs} epochs of {budget.rows:,} training rows, as measured when this run began")
    else:
        budget = _measured(plan, sides, work / "measured")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(asdict(budget)))
    plan = plan.with_train(epochs=budget.epochs)
    if budget.rows == len(plan.prepared.train):
        return plan, sides
    plan = replace(plan, prepared=_fewer(plan.prepared, budget.rows, plan.settings.train.seed), encoded=None)
    return plan, encode_sides(plan, work / "fewer")


def _fewer(prepared: Prepared, rows: int, seed: int) -> Prepared:
    train = prepared.train.drawn(rows, seed)
    known: DataFacts = {**prepared.facts, "rows": prepared.facts["rows"] | {"train": len(train)}}
    return replace(prepared, train=train, facts=known)


def _measured(plan: Plan, sides: tuple[Rows, Rows], work: Path) -> Budget:
    """What there is time for on this machine, as it is now."""
    started = time.monotonic()
    asked, total = plan.settings.train, len(plan.prepared.train)
    minutes = asked.minutes or 0.0
    epoch = _epoch_seconds(plan, min(_SHARE * 60 * minutes, _LONGEST), work)
    left = _MARGIN * 60 * minutes - (time.monotonic() - started)
    budget = Budget(min(asked.epochs, int(left // epoch)), total)
    takes, time_for = f"an epoch takes about {_shown(epoch)} here", f"in the {minutes:g} minutes of train.minutes"
    if budget.epochs == asked.epochs:
        say(
            "budget",
            f"{takes}: there is time for all {asked.epochs} epochs {time_for}",
            seconds=epoch,
            **asdict(budget),
        )
    elif budget.epochs > 0:
        text = f"{takes}: {budget.epochs} of {asked.epochs} epochs are run {time_for}"
        say("budget", text, seconds=epoch, **asdict(budget))
    else:
        rows = min(total, max(asked.batch_size, int(total * _share(sides, left / epoch))))
        budget = Budget(1, rows)
        text = f"{takes}: one epoch of {rows:,} of the {total:,} training rows is run {time_for}"
        warn("budget", text, seconds=epoch, **asdict(budget))
    return budget


def _share(sides: tuple[Rows, Rows], of_epoch: float) -> float:
    """The share of the training rows that leaves so much of an epoch, all of the validation rows with it."""
    train, validation = (float(side.lengths.sum()) for side in sides)
    whole = _TRAINING * train + validation
    return max(0.0, of_epoch * whole - validation) / (_TRAINING * train)


def _shown(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def _epoch_seconds(plan: Plan, least: float, work: Path) -> float:
    """Seconds of an epoch and its validation, told from a share of the rows of both sides that takes `least`."""
    total, rows = len(plan.prepared.train), _FIRST
    while True:
        few = _share_of(plan, min(1.0, rows / total))
        with quiet():
            seconds = _second_epoch(few, work / str(rows))
        if rows >= total or seconds >= least:
            return seconds * total / len(few.prepared.train)
        rows *= 4


def _share_of(plan: Plan, share: float) -> Plan:
    """A job of two epochs over a share of the rows of both sides."""
    prepared, seed = plan.prepared, plan.settings.train.seed
    taught, measured = (
        part.drawn(max(1, round(len(part) * share)), seed) for part in (prepared.train, prepared.validation)
    )
    prepared = replace(prepared, train=taught, validation=measured, facts={**prepared.facts})
    few = replace(plan, prepared=prepared, encoded=None)
    # All layers from the first epoch on, and no end before the second one.
    return few.with_train(epochs=2, patience=1000, unfreeze=None, threshold=None)


def _second_epoch(plan: Plan, work: Path) -> float:
    """Seconds of the second epoch: the first one warms up."""
    ends: list[float] = []

    def watch(_: Mapping[str, float]) -> None:
        ends.append(time.monotonic())

    teach(plan, encode_sides(plan, work), watch=watch)
    return ends[-1] - ends[len(ends) // 2 - 1]
