"""What a preset stands for, and what is set beside it."""

import pytest

from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.presets import PRESETS
from tunewright.job.settings.train import TrainSettings
from tunewright.job.steps.contradictions import EVERY_TASK


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_what_every_task_has(preset):
    assert {f"train.{name}" for name in PRESETS[preset]} <= EVERY_TASK
    found = TrainSettings(preset=preset)
    assert {name: getattr(found, name) for name in PRESETS[preset]} == PRESETS[preset]


def test_what_is_set_beside_a_preset_wins():
    assert TrainSettings(preset="best", epochs=2).epochs == 2


def test_a_preset_counts_as_defaults_do():
    train = TrainSettings(preset="best", clip=2)
    assert train.model_fields_set == {"preset", "clip"}
    assert TrainSettings(**train.model_dump(exclude_unset=True)) == train


def test_balanced_is_what_holds_without_a_preset():
    assert TrainSettings(preset="balanced") == TrainSettings()


def test_a_job_reads_it_from_its_tree():
    job = JobSettings(model_name="x", data={"train": "t.csv"}, train={"preset": "quick"})
    assert job.train.epochs == PRESETS["quick"]["epochs"]
