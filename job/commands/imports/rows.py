"""The rows that an imported model is measured on: read and checked as those of a training, and never split."""

from pathlib import Path

import numpy as np

from tunewright.job.data.check import Checked
from tunewright.job.kinds.plan import Part, Prepared
from tunewright.job.kinds.task import Task
from tunewright.job.progress.events import say, warn
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import check_settings
from tunewright.job.steps.prepare import SideReader, facts_of, refuse_same_bytes
from tunewright.job.steps.teachers.unlabelled import read_unlabelled
from tunewright.job.tasks import TASKS


def measured_rows(settings: JobSettings, labels: list[str], cache: Path, work: Path) -> Prepared:
    """The data of an import; DataError tells all that is wrong with it. `labels`: those of the model."""
    task = TASKS[settings.task]
    options, roles = check_settings(settings)
    problem = task.target.problem(roles.target_role, options)
    work.mkdir(parents=True, exist_ok=True)
    side = SideReader(_with_names(settings), task, options, roles, cache, work, of_model=True)
    given = [name for name in ("validation", "test") if getattr(settings.data, name) is not None]
    checked = {name: side.read(name, labels if task.target.closed else None) for name in given}
    refuse_same_bytes(checked)
    parts = {name: _part(checked[name], task, labels, problem) for name in given}
    if "validation" not in parts:
        empty = parts["test"].data.select(np.arange(0))
        parts["validation"] = Part(empty, task.target.encode([], labels, problem), parts["test"].keys[:0])
        say("split", "there is no data.validation: test rows prove the export, thresholds and temperatures stay as set")
    _warn_overlap(parts)
    strange = read_unlabelled("out_of_scope", settings, task, roles, parts, (cache, work))
    say("split", ", ".join(f"{name} {len(part):,}" for name, part in parts.items()))
    known = parts["validation"] if len(parts["validation"]) else parts["test"]
    return Prepared(
        task,
        options,
        roles,
        labels,
        known,
        parts["validation"],
        parts["test"],
        facts_of(checked, parts, out_of_scope=strange),
        tuple(settings.metrics),
        TASKS.requirement(settings.task),
        out_of_scope=strange.part if strange else None,
        imported=True,
    )


def _with_names(settings: JobSettings) -> JobSettings:
    """The same, where the data may also say what `data.label_names` makes of its labels, or of the model's."""
    names = settings.data.label_names
    data = settings.data.model_copy(update={"label_names": {**{one: one for one in names.values()}, **names}})
    return settings.model_copy(update={"data": data})


def _part(checked: Checked, task: Task, labels: list[str], problem: str) -> Part:
    return Part(checked.data, task.target.encode(checked.data.targets(), labels, problem), checked.keys)


def _warn_overlap(parts: dict[str, Part]) -> None:
    test, validation = parts["test"], parts["validation"]
    shared = int(np.isin(test.keys, validation.keys).sum())
    if shared:
        warn("data", f"{shared:,} of {len(test):,} test texts also stand in validation: the figures flatter")
