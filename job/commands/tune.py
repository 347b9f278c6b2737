"""Search for settings of `train`, and write them as a file that `tunewright train` takes."""

import tempfile
from pathlib import Path

import optuna
import yaml
from rich.markup import escape
from rich.table import Table

from tunewright.job.commands.search.space import plain, tree_of
from tunewright.job.commands.search.study import REASON, best, ended, open_study, ranked, searched
from tunewright.job.commands.search.trials import search, shown
from tunewright.job.errors import SettingsError, TrainingFailed
from tunewright.job.progress.events import say, show_table
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.entries import merged
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.search import Searched, Value
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store, open_store

BEST = "best.yaml"
_ROWS = 10
"""Trials of the table at the end."""


def tune(settings: JobSettings, registry: RegistrySettings, *, study: str, trials: int, work: Path) -> str:
    """Search until the study has so many trials; the address of the file with the best settings."""
    address = study or f"{str(settings.output).rstrip('/')}/study-{settings.model_name}"
    store = open_store(address, single_writer=registry.single_writer)
    job, space = plain(settings), settings.search
    plan, sides = prepare_all(job, registry, work)
    objective = plan.prepared.task.objective(plan)
    if not len(sides[1]):
        raise SettingsError("tune chooses on validation rows, and none are held out; give data.validation_fraction")
    if objective.idle:
        raise SettingsError(f"tune has nothing to search: {objective.idle}")
    opened = open_study(store, plan, space, lower_is_better=objective.lower_is_better)
    before = len(ended(opened))
    say("study", f"{store.uri}: {before} of {trials} trials have ended", study=address, trials=before)
    search(opened, plan, sides, space, trials=trials)
    found = best(opened)
    if found is None:
        *_, last = (str(one.user_attrs.get(REASON, "")) for one in ended(opened))
        raise TrainingFailed(f"none of the {len(ended(opened))} trials came to a figure; the last: {last}")
    told = searched(opened, space, objective.metric, address)
    written = write_best(store, job, found.params, told)
    _show(opened, told, written)
    return written


def write_best(store: Store, settings: JobSettings, values: dict[str, Value], told: Searched) -> str:
    """Write the settings with the best values beside the study; the address of the file."""
    given = settings.model_dump(mode="json", exclude_unset=True, exclude={"searched", "run_id"})
    tree = merged(given, tree_of(values)) | {"searched": told.model_dump(mode="json")}
    head = (
        f"# The best of {told.trials} trials by `tunewright tune`: {told.metric} {told.value:.4f} on validation.\n"
        f"# That side was measured {told.looks} times, so the figure flatters; the test rows were not read.\n"
        f"# {shown(values)}\n"
    )
    address = f"{store.uri}/{BEST}"
    with tempfile.TemporaryDirectory(prefix="tunewright-") as folder:
        path = Path(folder, BEST)
        path.write_text(head + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")
        store.upload(BEST, path)
    return address


def _show(study: optuna.Study, told: Searched, written: str) -> None:
    """The table on a terminal, and where the file is; elsewhere each trial has been an event already."""
    text = f"{written}: {told.metric} {told.value:.4f} on validation, the best of {told.trials} trials"
    facts = told.model_dump(mode="json", exclude={"settings"})
    show_table(_table(study, told), "tuned", f"{text}; next: tunewright train --config {written}", **facts)


def _table(study: optuna.Study, told: Searched) -> Table:
    """The best trials, a line each."""
    table = Table(title=f"the best of {told.trials} trials, {told.looks} looks at validation", title_justify="left")
    for column in ("trial", told.metric, *told.settings):
        table.add_column(column, justify="right")
    for one in ranked(study)[:_ROWS]:
        values = (shown({"": one.params.get(name)}).strip() for name in told.settings)
        table.add_row(str(one.number), f"{one.value:.4f}", *map(escape, values))
    return table
