"""Trials of a real job: cut short, failed, interrupted; whatever comes of one, the next is tried."""

import pytest

from tunewright.job.errors import Interrupted
from tunewright.job.recipe import prepare_all
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store

optuna = pytest.importorskip("optuna")

from optuna.trial import TrialState  # noqa: E402

from tunewright.job import signals  # noqa: E402
from tunewright.job.commands.search.study import REASON, best, ended, open_study  # noqa: E402
from tunewright.job.commands.search.trials import search  # noqa: E402

STATES = {TrialState.COMPLETE: "whole", TrialState.PRUNED: "cut", TrialState.FAIL: "failed"}


@pytest.fixture(scope="module")
def job(make_settings, write_rows, tmp_path_factory):
    """A plan and its two sides, 48 and 24 rows."""
    folder = tmp_path_factory.mktemp("job")
    sides = {"train": str(write_rows("single", 0, 48)), "validation": str(write_rows("single", 48, 72))}
    data = {**sides, "test": str(write_rows("single", 72, 84)), "columns": {"text": "text", "label": "label"}}
    settings = make_settings(data=data, train={"epochs": 2, "learning_rate": 3e-3, "precision": "fp32"})
    registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
    return prepare_all(settings, registry, folder / "work")


@pytest.fixture
def study(job, tmp_path):
    """study(space): a study of this test's own."""
    return lambda space: open_study(open_store(str(tmp_path / "study")), job[0], space, lower_is_better=False)


@pytest.mark.slow
def test_a_trial_is_whole_cut_short_or_failed(job, study):
    # A rate at which nothing is learned is behind the others; two settings that contradict each other are no trial.
    space = {"train.learning_rate": [3e-3, 1e-9], "train.unfreeze": [None, 1], "train.layers": ["all", 1]}
    one = study(space)
    search(one, *job, space, trials=12)
    found = {}
    for trial in ended(one):
        found.setdefault(STATES[trial.state], []).append(trial)
    assert sum(map(len, found.values())) == 12
    for trial in found["failed"]:
        assert trial.params["train.unfreeze"] == trial.params["train.layers"] == 1
        assert trial.user_attrs[REASON].startswith("train.unfreeze unfreezes all layers one after the other; ")
    assert all(len(trial.intermediate_values) == 1 for trial in found.get("cut", []))
    assert all(len(trial.intermediate_values) == 2 for trial in found["whole"])
    assert best(one).value == max(trial.value for trial in found["whole"])


def test_a_study_that_has_enough_runs_no_trial_more(job, study):
    space = {"train.epochs": [1, 2]}
    search(study(space), *job, space, trials=1)
    search(study(space), *job, space, trials=1)
    assert len(study(space).get_trials()) == 1


def test_a_trial_that_is_interrupted_is_tried_again(job, study, monkeypatch):
    space = {"train.epochs": [1, 2]}
    monkeypatch.setattr(signals, "_asked", Interrupted("stopped"))
    with pytest.raises(Interrupted):
        search(study(space), *job, space, trials=1)
    monkeypatch.setattr(signals, "_asked", None)
    assert ended(study(space)) == []
    search(study(space), *job, space, trials=1)
    (trial,) = ended(study(space))
    assert (trial.params, trial.state) == ({"train.epochs": 2}, TrialState.COMPLETE)
