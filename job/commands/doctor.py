"""`tunewright check`: what the doctor found, on the terminal, as JSON and as a page."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.job.commands.doctor_page import doctor_page
from tunewright.job.commands.guess.filling import Asked
from tunewright.job.commands.guess.profile import Column, columns_of
from tunewright.job.commands.guess.sample import Sample
from tunewright.job.commands.guess.task import guess
from tunewright.job.data.doctor.finding import ColumnFacts, Diagnosis
from tunewright.job.data.doctor.personal import masked
from tunewright.job.data.layout import layout_of
from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.sources.cache import write_whole
from tunewright.job.data.sources.fetch import fetch
from tunewright.job.errors import SettingsError
from tunewright.job.kinds.plan import Plan
from tunewright.job.progress.events import say
from tunewright.job.steps.diagnose import diagnose, hold_back, tell

if TYPE_CHECKING:
    from tunewright.job.batches.side import Rows

_SHOWN = 12
"""Columns that the terminal names."""


def examine(
    plan: Plan,
    rows: "Mapping[str, Rows]",
    cache: Path,
    work: Path,
    *,
    noise: bool = False,
    as_json: Path | None = None,
    as_html: Path | None = None,
) -> None:
    """Look at the data, tell what is odd about it and write the facts where they are wanted.

    `rows`: the sides that are arrays already. `noise`: whether to look for wrong labels where `data.gate` does not name
    them. DataError where `data.gate` allows less than was found; the files are written before.
    """
    settings = plan.settings
    found = diagnose(plan, rows, work, noise=noise)
    found = _with_columns(found, plan, cache)
    tell(found)
    _tell_columns(found)
    if as_json:
        _write(as_json, json.dumps(asdict(found), ensure_ascii=False, indent=2) + "\n")
    if as_html:
        _write(as_html, doctor_page(found, settings))
    hold_back(found, settings.data.gate)


def _with_columns(diagnosis: Diagnosis, plan: Plan, cache: Path) -> Diagnosis:
    """With the columns of the first file of the training rows, and the likeliest ones for the task."""
    prepared, data = plan.prepared, plan.settings.data
    if prepared.task.media:
        return diagnosis
    file = fetch(data.train, cache)[0]
    layout = layout_of(file.address, data, None, file.path)
    found = columns_of(row.values for row in read_rows(file.path, file.address, layout) if not row.fault)
    role_of = {name: role for role, name in prepared.roles.inputs.items()} | {
        prepared.roles.target: prepared.roles.target_role
    }
    facts = [column_facts(column, role_of.get(column.name, "")) for column in found]
    rows = max((column.rows for column in found), default=0)
    try:
        likeliest = guess(Sample(layout, found, rows), Asked(plan.settings.task)).columns
    except SettingsError:
        likeliest = {}
    return replace(diagnosis, columns=facts, likeliest={role: masked(name) for role, name in likeliest.items()})


def column_facts(column: Column, role: str) -> ColumnFacts:
    """What a column holds. `role`: what the task reads it as, or nothing."""
    # That lists of texts have to be joined is for tasks that do not read them.
    holds = "lists of texts" if role and column.kind == "texts" else column.holds
    return ColumnFacts(masked(column.name), role, holds, column.empty / max(column.rows, 1))


def _tell_columns(found: Diagnosis) -> None:
    bare = [one.name for one in found.columns if one.holds in ("nothing", "the same in every row")]
    if bare:
        say("doctor", f"columns that are empty or the same in every row: {', '.join(bare[:_SHOWN])}")
    used = {one.role: one.name for one in found.columns if one.role}
    others = [f"{role} {name}" for role, name in found.likeliest.items() if used.get(role, name) != name]
    if others:
        said = ", ".join(f"{role} {name}" for role, name in used.items())
        say("doctor", f"the columns used are {said}; by what they hold they might be {', '.join(others)}")


def _write(path: Path, text: str) -> None:
    write_whole(path, text)
    say("doctor", f"{path} is written")
