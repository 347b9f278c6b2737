"""What a job will take is told before it begins, and memory that is small is planned for."""

import math

import pytest
import torch

from tunewright.job.batches.side import NoRows
from tunewright.job.forecast import Forecast, Needed, _looks, bytes_kept, fitting, shown, too_little, trainings_of
from tunewright.job.progress.events import recorded
from tunewright.job.ranks import Place
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.train import FewShotSettings
from tunewright.job.steps.teach import teach
from tunewright.job.train.distributed import World
from tunewright.registry.settings import RegistrySettings

SMALL = {"epochs": 1, "learning_rate": 3e-3, "batch_size": 100, "precision": "fp32"}


@pytest.fixture(scope="module")
def job(make_settings, tmp_path_factory):
    """The plan and the sides of a job of one epoch."""
    folder = tmp_path_factory.mktemp("job")
    registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
    return prepare_all(make_settings(train=SMALL), registry, folder / "work")


def taught(job, **given):
    with recorded() as said:
        made = teach(*job, **given)
    return made, [one for one in said if one.event == "plan"]


@pytest.fixture(scope="module")
def told(job):
    """A model that was taught after its forecast, and what was said then."""
    return taught(job, before=Forecast(2))


def test_time_and_memory_are_told_before_a_model_learns(told):
    _, (said,) = told
    assert said.text.startswith("about ")
    assert " GB of memory from here, if nothing else runs: training " in said.text
    assert set(said.facts["parts"]) == {"training", "validation", "export", "proof"}
    assert said.facts["seconds"] == pytest.approx(sum(said.facts["parts"].values()), abs=0.3)
    assert said.facts["bytes"] > 1e8


def test_what_is_learned_is_the_same_as_without(job, told):
    model, plain = told[0].model, taught(job)[0].model
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), plain.parameters(), strict=True))


@pytest.mark.slow
def test_pairs_are_tried_too_and_a_run_that_goes_on_says_so(job):
    plan, sides = job
    few = plan.with_train(few_shot=FewShotSettings(pairs=1), max_length=16)
    _, (said,) = taught((few, sides), before=Forecast(goes_on=True))
    assert " for the whole run, of which a part is done, if nothing else runs: training " in said.text
    # Each look and the end need the vectors of the 300 training rows.
    assert said.facts["parts"]["validation"] > 0


def test_text_that_a_base_reads_first_has_a_line_of_its_own(job, told):
    plan, sides = job
    with recorded() as said:
        Forecast().of_text(told[0].model, sides, plan.prepared.task.objective(plan), plan)
    (line,) = [one for one in said if one.event == "plan"]
    assert line.text.endswith(" to read the text, if nothing else runs; what comes after it is told then")
    assert line.facts["seconds"] >= 0


@pytest.mark.parametrize(
    ("train", "size", "reason"),
    [
        ({"few_shot": FewShotSettings(), "layers": "head"}, 1, "nothing but a head is fitted"),
        (
            {"parallel": "fsdp"},
            2,
            "each process holds a share of the weights (train.parallel: fsdp), and can try nothing alone",
        ),
    ],
)
def test_what_cannot_be_tried_is_said_not_to_be_known(job, told, monkeypatch, train, size, reason):
    plan, sides = job
    monkeypatch.setattr("tunewright.job.forecast.world", lambda: World(Place(0, size, 0)))
    with recorded() as said:
        Forecast()(told[0].model, sides, plan.prepared.task.objective(plan), plan.with_train(**train))
    (line,) = [one for one in said if one.event == "plan"]
    assert line.text == f"how long it will take and how much memory it needs is not known: {reason}"


def test_the_tokens_at_a_time_are_halved_until_they_fit():
    needed = Needed(fixed=100, held=64)
    assert [fitting(needed, there, 1024, None) for there in (164, 163, 132, 131, 108, 50)] == [0, 1, 1, 2, 3, 4]
    assert fitting(needed, 50, 1024, 1024) == 0


def test_memory_that_is_too_small_is_told_with_what_to_set(job, monkeypatch):
    monkeypatch.setattr("tunewright.job.forecast.available", lambda: 10_000_000)
    made, said = taught(job, before=Forecast())
    assert [one.level for one in said] == ["info", "info", "warning"]
    assert said[0].text.startswith("at most ")
    assert said[0].text.endswith(
        " go through the model at a time, to fit the memory; a step still learns from all its rows"
    )
    assert said[2].text.endswith(" set train.gradient_checkpointing")
    assert too_little(3_000_000_000, 2_000_000_000).startswith(
        "the job needs about 3.0 GB of memory and can have 2.0 GB: it may be killed; give it more, "
    )
    assert math.isfinite(made.trained.history[0]["loss"])


def test_copies_that_are_kept_of_the_weights_count(job):
    plan, _ = job
    assert bytes_kept(10, plan) == 10 * (4 + 8 + 4 + 12)
    assert bytes_kept(10, plan.with_train(optimizer="adamw_8bit", average=2, ema=0.9)) == 10 * (4 + 2 + 16 + 6)


def test_the_rows_that_are_measured_beside_those_of_validation_count(job):
    plan, sides = job
    objective = plan.prepared.task.objective(plan)
    assert _looks(sides, objective, plan) == 1 + 60 / 60
    assert _looks(sides, objective, plan.with_train(epochs=3, evaluate=1)) == 3 * (1 + 3) * 2
    assert _looks((sides[0], NoRows()), objective, plan) == 0


def test_a_job_that_teaches_several_models_takes_as_many_times(make_settings):
    assert trainings_of(make_settings()) == 1
    assert trainings_of(make_settings(train={"imbalance": "auto"}, adapt={})) == 12


@pytest.mark.parametrize(("seconds", "text"), [(0.123, "0.12 s"), (89.4, "89 s"), (300, "5 min"), (9000, "2.5 h")])
def test_a_time_is_told_as_people_do(seconds, text):
    assert shown(seconds) == text
