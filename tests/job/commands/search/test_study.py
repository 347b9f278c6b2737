"""What a study keeps: the same trials for all who open it, whichever process draws them."""

import pytest

from tunewright.job.errors import SettingsError
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.search import Range
from tunewright.registry.stores.store import open_store

optuna = pytest.importorskip("optuna")

from optuna.trial import TrialState  # noqa: E402

from tunewright.job.commands.search.space import with_values  # noqa: E402
from tunewright.job.commands.search.study import INTERRUPTED, best, draw, ended, open_study, searched  # noqa: E402

SPACE = {"train.epochs": [1, 2], "train.learning_rate": Range(low=1e-4, high=1e-2, log=True)}
FIRST = {"train.epochs": 2, "train.learning_rate": 3e-3}


@pytest.fixture(scope="module")
def plan(make_settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    from tunewright.registry.settings import RegistrySettings

    settings = make_settings(train={"epochs": 2, "learning_rate": 3e-3})
    return prepare_all(settings, RegistrySettings(uri=str(folder / "r"), cache=folder / "cache"), folder / "work")[0]


@pytest.fixture
def reopen(tmp_path):
    """reopen(plan): the study of this test, as a new process opens it."""
    return lambda plan, space=SPACE: open_study(open_store(str(tmp_path / "study")), plan, space, lower_is_better=False)


def test_what_the_job_has_so_far_is_tried_first(reopen, plan):
    assert draw(reopen(plan), plan, SPACE)[1] == FIRST


def test_a_study_goes_on_as_if_it_had_never_stopped(reopen, plan, tmp_path):
    def figures(study_of):
        drawn = []
        for number in range(8):
            study = study_of()
            trial, values = draw(study, plan, SPACE)
            drawn.append(values)
            study.tell(trial, float(number % 3))
        return drawn

    other = open_study(open_store(str(tmp_path / "other")), plan, SPACE, lower_is_better=False)
    assert figures(lambda: reopen(plan)) == figures(lambda: other)
    assert len({str(trial.params) for trial in ended(other)}) == 8


def test_a_study_of_something_else_is_refused(reopen, plan, tmp_path):
    reopen(plan)
    changed = with_values(plan.settings, {"train.clip": 0.5})
    for other, space, names in (
        (plan.__class__(changed, plan.prepared, plan.base, plan.encoder), SPACE, "train.clip"),
        (plan, SPACE | {"train.epochs": [1, 3]}, "search.train.epochs"),
    ):
        with pytest.raises(SettingsError) as caught:
            reopen(other, space)
        assert str(caught.value) == (
            f"the study in {tmp_path / 'study'} was begun with other values of {names}; set them back, or name another "
            "place with --study"
        )


def test_the_best_of_those_that_ran_to_their_end(reopen, plan):
    study = reopen(plan)
    assert best(study) is None
    for figure, looks in ((0.5, 2), (0.9, 1), (0.9, 1)):
        trial, _ = draw(study, plan, SPACE)
        for look in range(looks):
            trial.report(figure, look + 1)
        study.tell(trial, figure)
    cut, _ = draw(study, plan, SPACE)
    cut.report(0.99, 1)
    study.tell(cut, state=TrialState.PRUNED)
    failed, _ = draw(study, plan, SPACE)
    study.tell(failed, state=TrialState.FAIL)
    stopped, _ = draw(study, plan, SPACE)
    stopped.set_user_attr(INTERRUPTED, True)
    study.tell(stopped, state=TrialState.FAIL)
    assert best(study).number == 1
    told = searched(reopen(plan), SPACE, "accuracy", "s3://here")
    assert told.model_dump() == {
        "study": "s3://here",
        "settings": ["train.epochs", "train.learning_rate"],
        "trials": 5,
        "looks": 5,
        "metric": "accuracy",
        "value": 0.9,
    }
