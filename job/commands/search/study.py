"""The study: opened anew or gone on with, by one process or by several at once; what has come of it so far."""

import hashlib
from collections.abc import Mapping

import optuna
from optuna.trial import FrozenTrial, TrialState

from tunewright.job.checkpoints.digest import digest
from tunewright.job.commands.search.journal import StoreJournal
from tunewright.job.commands.search.space import Space, as_set, is_whole
from tunewright.job.errors import SettingsError
from tunewright.job.kinds.plan import Plan
from tunewright.job.settings.search import Choice, Range, Searched, Value
from tunewright.job.steps.run.run_id import rows_of
from tunewright.registry.stores.probe import probe
from tunewright.registry.stores.store import Store
from tunewright.registry.variables import flat

INTERRUPTED = "interrupted"
"""Marks a trial that was stopped from outside: it is tried again, and does not count."""
REASON = "reason"
"""Why a trial failed."""
_NAME = "tunewright"
_MADE_OF = "made_of"
_DECIDING = {"task", "options", "base_model", "train", "metrics"}
_STARTUP = 5
"""Trials that are never cut short, so that there is something to compare the others with."""


def open_study(store: Store, plan: Plan, space: Space, *, lower_is_better: bool) -> optuna.Study:
    """The study in a store; SettingsError where it was begun with other settings, data or another base model."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    probe(store)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(StoreJournal(store)),
        study_name=_NAME,
        direction="minimize" if lower_is_better else "maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=1),
        load_if_exists=True,
    )
    made_of = _made_of(plan, space)
    if _MADE_OF not in study.user_attrs:
        study.set_user_attr(_MADE_OF, made_of)
        # What the job has so far is tried first: what is found is no worse than it.
        if first := as_set(plan.settings, space):
            study.enqueue_trial(first, skip_if_exists=True)
    _refuse_another(study.user_attrs[_MADE_OF], made_of, store)
    return study


def _made_of(plan: Plan, space: Space) -> dict[str, object]:
    """What must be the same for figures to be compared."""
    asked = plan.settings.model_dump(mode="json", include=_DECIDING, exclude={"train": {"checkpoint"}})
    asked["search"] = {name: repr(choice) for name, choice in space.items()}
    rows = [rows_of(plan.prepared.facts), plan.base.digest]
    return {**dict(flat(asked)), "the data or the base model's files": digest(rows)}


def _refuse_another(known: Mapping[str, object], made_of: Mapping[str, object], store: Store) -> None:
    others = [name for name in {**known, **made_of} if known.get(name) != made_of.get(name)]
    if others:
        raise SettingsError(
            f"the study in {store.uri} was begun with other values of {', '.join(others[:5])}; set them back, or name "
            "another place with --study"
        )


def draw(study: optuna.Study, plan: Plan, space: Space) -> tuple[optuna.Trial, dict[str, Value]]:
    """The next trial and its values."""
    trial = study.ask()
    # Drawn by the trial's number: another process, or this one after a stop, does not draw the same again.
    seed = int.from_bytes(hashlib.sha256(f"{plan.settings.train.seed}/{trial.number}".encode()).digest()[:4], "big")
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    return trial, {name: _drawn(trial, name, choice, plan) for name, choice in space.items()}


def _drawn(trial: optuna.Trial, name: str, choice: Choice, plan: Plan) -> Value:
    value: Value
    if not isinstance(choice, Range):
        value = trial.suggest_categorical(name, choice)
    elif is_whole(plan.settings, name, choice):
        low, high = int(choice.low), int(choice.high)
        value = trial.suggest_int(name, low, high, log=choice.log, step=int(choice.step or 1))
    else:
        value = trial.suggest_float(name, choice.low, choice.high, log=choice.log, step=choice.step)
    return value


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have come to something: a figure, a reason to stop early, or a fault of their own."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    return [one for one in study.get_trials(deepcopy=False, states=states) if INTERRUPTED not in one.user_attrs]


def ranked(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that ran to their end, the best and of equal ones the first before the others."""
    whole = [one for one in ended(study) if one.state == TrialState.COMPLETE]
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    return sorted(whole, key=lambda one: (sign * one.value, one.number))


def best(study: optuna.Study) -> FrozenTrial | None:
    """The first of them."""
    return next(iter(ranked(study)), None)


def searched(study: optuna.Study, space: Space, metric: str, address: str) -> Searched:
    """What the best trial's file says of the search."""
    found = best(study)
    assert found is not None
    return Searched(
        study=address,
        settings=list(space),
        trials=len(ended(study)),
        looks=_looks(study),
        metric=metric,
        value=found.value,
    )


def _looks(study: optuna.Study) -> int:
    """How often the validation rows were measured; a trial without epochs measures them once."""
    return sum(
        max(len(one.intermediate_values), one.state == TrialState.COMPLETE) for one in study.get_trials(deepcopy=False)
    )
