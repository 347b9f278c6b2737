"""Training that ends in time: what fits is run, and a run that goes on keeps to what was chosen."""

import json
from dataclasses import replace

import pytest

from tunewright.job.budget import _share, within_minutes
from tunewright.job.progress.events import recorded
from tunewright.job.recipe import prepare_all
from tunewright.registry.settings import RegistrySettings


@pytest.fixture(scope="module")
def job(make_settings, tmp_path_factory):
    """The plan and the sides of a job with four epochs of 300 rows."""
    folder = tmp_path_factory.mktemp("job")
    registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
    return prepare_all(make_settings(), registry, folder / "work")


@pytest.fixture
def within(job, tmp_path):
    """within(minutes): the plan, its sides, and the sentence about what was chosen."""

    def cut(minutes):
        plan, sides = job
        train = plan.settings.train.model_copy(update={"minutes": minutes})
        plan = replace(plan, settings=plan.settings.model_copy(update={"train": train}))
        with recorded() as said:
            found = within_minutes(plan, sides, tmp_path / "work", tmp_path / "checkpoints" / "budget.json")
        return *found, [(one.level, one.text) for one in said if one.event == "budget"]

    return cut


def test_all_epochs_are_run_where_there_is_time(job, within):
    plan, sides, [(level, text)] = within(1000)
    assert (plan.settings.train.epochs, sides) == (4, job[1])
    assert level == "info"
    assert text.startswith("an epoch takes about ")
    assert text.endswith(" here: there is time for all 4 epochs in the 1000 minutes of train.minutes")


def test_one_epoch_of_fewer_rows_where_there_is_next_to_none(job, within):
    plan, sides, [(level, text)] = within(1e-6)
    assert (plan.settings.train.epochs, len(sides[0]), len(plan.prepared.train)) == (1, 16, 16)
    assert (len(sides[1]), plan.prepared.facts["rows"]["train"]) == (60, 16)
    assert job[0].prepared.facts["rows"]["train"] == 300
    assert level == "warning"
    assert text.endswith(" here: one epoch of 16 of the 300 training rows is run in the 1e-06 minutes of train.minutes")


def test_validation_is_not_cut_down(job):
    """Half of the time of an epoch, of which validation takes its part, is less than half of the training rows."""
    train, validation = (side.lengths.sum() for side in job[1])
    share = _share(job[1], 0.5)
    assert 3 * train * share + validation == pytest.approx(0.5 * (3 * train + validation))
    assert _share(job[1], 1.0) == pytest.approx(1.0)
    assert _share(job[1], 0.0) == 0.0


def test_a_run_that_goes_on_keeps_to_what_was_chosen(within, tmp_path):
    kept = tmp_path / "checkpoints" / "budget.json"
    within(1000)
    assert json.loads(kept.read_text()) == {"epochs": 4, "rows": 300}
    kept.write_text(json.dumps({"epochs": 2, "rows": 40}))
    plan, sides, said = within(1e-6)
    assert (plan.settings.train.epochs, len(sides[0])) == (2, 40)
    assert said == [("info", "2 epochs of 40 training rows, as measured when this run began")]


def test_a_task_that_learns_nothing_needs_no_time(job, within, monkeypatch):
    plan, sides = job
    idle = replace(plan.prepared.task.objective(plan), idle="nothing is learned")
    monkeypatch.setattr(type(plan.prepared.task), "objective", lambda *_: idle)
    assert within(5)[1:] == (sides, [])
