"""Few rows are read more often than three times, unless somebody has said how often."""

from dataclasses import replace

import pytest

from tunewright.job.progress.events import recorded
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.train import TrainSettings
from tunewright.job.steps.epochs import with_epochs
from tunewright.registry.settings import RegistrySettings


@pytest.fixture(scope="module")
def plan(make_settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
    return prepare_all(make_settings(), registry, folder / "work")[0]


@pytest.fixture
def epochs(plan):
    """epochs(rows, **train): how many are run."""

    def of(rows, **train):
        settings = plan.settings.model_copy(update={"train": TrainSettings(**train)})
        return with_epochs(replace(plan, settings=settings), rows).settings.train.epochs

    return of


@pytest.mark.parametrize(("rows", "expected"), [(100, 20), (1_000, 10), (3_200, 3), (3_100, 4), (100_000, 3)])
def test_few_rows_are_read_more_often(epochs, rows, expected):
    assert epochs(rows) == expected


def test_a_step_has_the_rows_that_the_settings_give_it(epochs):
    assert epochs(1_000, batch_size=8, accumulation=2) == 5
    assert epochs(1_000, batch_size=1) == 3


@pytest.mark.parametrize("train", [{"epochs": 3}, {"preset": "best"}, {"preset": "quick"}, {"few_shot": {}}])
def test_what_is_set_holds(epochs, train):
    assert epochs(100, **train) == TrainSettings(**train).epochs


def test_without_validation_nothing_would_tell_the_best(plan):
    nothing = replace(plan.prepared, validation=plan.prepared.validation.drawn(0, 1))
    nothing = replace(nothing, validation=replace(nothing.validation, data=nothing.validation.data.select([])))
    bare = replace(plan, prepared=nothing, settings=plan.settings.model_copy(update={"train": TrainSettings()}))
    assert with_epochs(bare, 100).settings.train.epochs == 3


def test_it_is_said(plan):
    settings = plan.settings.model_copy(update={"train": TrainSettings()})
    with recorded() as said:
        with_epochs(replace(plan, settings=settings), 1_000)
    assert [one.text for one in said] == [
        "up to 10 epochs in place of 3, as 1,000 rows are 32 steps an epoch; train.epochs sets another number"
    ]
