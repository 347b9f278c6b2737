"""Trials, one after the other: each is the recipe up to the figure of validation. Nothing is exported or registered,
and the test rows are not read."""

import gc
from collections.abc import Mapping
from dataclasses import replace

import optuna
import torch
from optuna.trial import TrialState

from tunewright.job.batches.side import Rows
from tunewright.job.commands.search.space import Space, with_values
from tunewright.job.commands.search.study import INTERRUPTED, REASON, best, draw, ended
from tunewright.job.errors import Interrupted, SettingsError, TrainingFailed, first_line
from tunewright.job.kinds.plan import Plan
from tunewright.job.progress.events import say, warn
from tunewright.job.settings.search import Value
from tunewright.job.steps.contradictions import check_settings
from tunewright.job.steps.teach import teach
from tunewright.job.train.objective import Objective

_OWN_FAULTS = (TrainingFailed, SettingsError, torch.OutOfMemoryError, MemoryError)
"""What is wrong with one trial and need not be with the next: values that do not go together, a loss that is not
finite, a batch too large for the memory."""


class _Pruned(Exception):
    """A trial is cut short."""


def search(study: optuna.Study, plan: Plan, sides: tuple[Rows, Rows], space: Space, *, trials: int) -> None:
    """Run trials until the study has so many that have ended, those of other processes among them."""
    metric = plan.prepared.task.objective(plan).metric
    while len(ended(study)) < trials:
        trial, values = draw(study, plan, space)
        say("trial", f"{trial.number}: {shown(values)}", trial=trial.number, **values)
        try:
            figure = _figure(trial, values, plan, sides)
        except _Pruned:
            study.tell(trial, state=TrialState.PRUNED)
            say("trial", f"{trial.number}: cut short, behind the others after as many measurements", trial=trial.number)
        except _OWN_FAULTS as error:
            trial.set_user_attr(REASON, first_line(error))
            study.tell(trial, state=TrialState.FAIL)
            warn("trial", f"{trial.number} failed: {first_line(error)}", trial=trial.number)
        except (Interrupted, KeyboardInterrupt):
            trial.set_user_attr(INTERRUPTED, True)
            study.tell(trial, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)
            raise
        else:
            study.tell(trial, figure)
            _say_ended(study, trial.number, metric, figure)
        gc.collect()


def _figure(trial: optuna.Trial, values: Mapping[str, Value], plan: Plan, sides: tuple[Rows, Rows]) -> float:
    """The figure of validation that decides, of a model trained with these values."""
    settings = with_values(plan.settings, values)
    check_settings(settings)
    one = replace(plan, settings=settings)
    objective = one.prepared.task.objective(one)
    trained = teach(one, sides, watch=_Watch(trial, objective)).trained
    return trained.figures[objective.metric]


class _Watch:
    """Tells the study each measurement, and ends the trial that is behind the others."""

    def __init__(self, trial: optuna.Trial, objective: Objective) -> None:
        self._trial, self._metric = trial, objective.metric
        self._looks = 0

    def __call__(self, figures: Mapping[str, float]) -> None:
        self._looks += 1
        self._trial.report(figures[self._metric], self._looks)
        if self._trial.should_prune():
            raise _Pruned


def _say_ended(study: optuna.Study, number: int, metric: str, figure: float) -> None:
    found = best(study)
    so_far = f"best so far {found.value:.4f}" if found and found.number != number else "the best so far"
    say("trial", f"{number}: {metric} {figure:.4f} ({so_far})", trial=number, figure=figure)


def shown(values: Mapping[str, Value]) -> str:
    """Values for people."""
    texts = {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())
