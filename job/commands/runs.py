"""The last runs of an output folder or a bucket, side by side."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tunewright.job.errors import DataError, visible
from tunewright.job.progress.record import FOLDER, RunRecord
from tunewright.registry.stores.store import open_store

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 16
"""Characters of a curve."""
_SHOWN = 4
"""Settings that differ, as many as a line holds."""
_SAME = ("run_id", "output", "alias", "keep_bundle", "wait_minutes", "train.checkpoint.")
"""Settings that make no other version."""


def read_runs(place: str, last: int) -> list[RunRecord]:
    """The records of the last runs, the newest first. DataError where there is none."""
    store, found = open_store(place), []
    for stat in store.list(f"{FOLDER}/"):
        if stat.key.endswith(".json"):
            try:
                found.append(RunRecord.model_validate_json(store.read(stat.key)))
            except ValidationError as error:
                raise DataError(f"{store.uri}/{stat.key} is no record of a run; remove it") from error
    if not found:
        raise DataError(f"{place}: no run has left a record there; name the output of a job, a folder or s3://")
    return sorted(found, key=lambda one: -one.started)[:last]


def main_figure(one: RunRecord) -> tuple[str, float] | None:
    """The name of the figure that decides and its value: of the test rows, else of the validation rows."""
    headline, variant = one.tags.get("headline"), one.tags.get("variant")
    if f"test/{variant}/{headline}" in one.figures:
        return f"{headline}", one.figures[f"test/{variant}/{headline}"]
    measured = [name for name in one.figures if name.startswith("validation/")]
    return (measured[0], one.figures[measured[0]]) if measured else None


def differing(runs: Sequence[RunRecord]) -> list[str]:
    """The settings that are not the same in all of these runs."""
    names = dict.fromkeys(name for one in runs for name in one.settings)
    varied = [name for name in names if len({one.settings.get(name) for one in runs}) > 1]
    return [name for name in varied if not name.startswith(_SAME)]


def sparkline(losses: Sequence[tuple[int, float]]) -> str:
    """A curve in a few characters: the mean of each part of it, from its lowest to its highest."""
    values = [loss for _, loss in losses if isfinite(loss)]
    if not values:
        return ""
    width = min(_WIDTH, len(values))
    cuts = [round(part * len(values) / width) for part in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(means), max(means)
    return "".join(_BARS[round((one - low) / ((high - low) or 1.0) * (len(_BARS) - 1))] for one in means)


def show_runs(runs: Sequence[RunRecord], *, as_json: bool) -> None:
    """As a table, or as JSON."""
    if as_json:
        print(json.dumps([_facts(one) for one in runs], indent=2))  # noqa: T201 - the answer of a command line
        return
    table = Table()
    for column in ("run", "model", "begun", "metric", "took", "status", "loss", "settings that differ"):
        table.add_column(column, justify="right" if column in ("metric", "took") else "left")
    names = differing(runs)
    for one in runs:
        table.add_row(*(escape(visible(cell)) for cell in _cells(one, names)))
    Console(highlight=False, emoji=False).print(table)


def _facts(one: RunRecord) -> Mapping[str, object]:
    found = main_figure(one)
    return {
        **one.model_dump(exclude={"started"}),
        "started": _date(one.started).isoformat(),
        "metric": found[0] if found else None,
        "value": found[1] if found else None,
    }


def _cells(one: RunRecord, names: Sequence[str]) -> list[str]:
    found, version = main_figure(one), one.tags.get("version")
    told = [f"{name} {one.settings.get(name, '')}" for name in names[:_SHOWN]]
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return [
        one.run_id,
        f"{one.model}:{version}" if version else one.model,
        f"{_date(one.started):%Y-%m-%d %H:%M}",
        f"{found[0]} {found[1]:.4f}" if found else "",
        _duration(one.seconds),
        one.status if one.tries == 1 else f"{one.status}, try {one.tries}",
        sparkline(one.losses),
        ", ".join([*told, *more]),
    ]


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds), UTC)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
