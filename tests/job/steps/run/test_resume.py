"""The same job, tried again, does what is left to do and nothing twice."""

import json
import os
import random
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from tunewright.job.errors import SettingsError
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.train import AdaptSettings, CheckpointSettings
from tunewright.job.steps.adapt import adapt
from tunewright.job.steps.run.resume import open_checkpoints
from tunewright.job.steps.teach import teach

QUICK = {"epochs": 1, "learning_rate": 3e-3, "batch_size": 32, "precision": "fp32", "pooling": "mean"}
WAYS = {
    "plain": {"train": QUICK},
    "few-shot": {"train": QUICK | {"few_shot": {"pairs": 1}}},
    "adaptation": {"train": QUICK, "adapt": AdaptSettings(epochs=1, batch_size=16)},
}
STAGES = {"plain": ["train"], "few-shot": ["train"], "adaptation": ["text", "plain", "adapted"]}


@pytest.fixture
def learn(registry, tmp_path):
    """learn(settings): what a run learns, with its checkpoints in a folder that is always the same."""

    def learned(settings):
        plan, sides = prepare_all(settings, registry, tmp_path / "work")
        checkpoints = open_checkpoints(plan, tmp_path / "kept")
        if plan.adaptation:
            return adapt(plan, sides, tmp_path / "work", checkpoints)[0]
        return teach(plan, sides, checkpoints.of("train"))

    return learned


def changed(settings, part, **values):
    """Settings of which one part is another."""
    return settings.model_copy(update={part: getattr(settings, part).model_copy(update=values)})


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize(
    "way", [name if name == "plain" else pytest.param(name, marks=pytest.mark.slow) for name in WAYS]
)
def test_what_was_learned_is_not_learned_again(make_settings, learn, tmp_path, capsys, way):
    settings = make_settings(**WAYS[way])
    first = learn(settings)
    capsys.readouterr()
    again = learn(settings)
    said = capsys.readouterr().out
    stages = [stage for stage in STAGES[way] if f"the run goes on from {tmp_path}/kept/{stage}/" in said]
    assert (stages, "epoch 1/" in said) == (STAGES[way], False)
    assert again.trained == first.trained
    assert_same(again.model.state_dict(), first.model.state_dict())


def test_other_settings_under_the_same_run_id_are_refused(make_settings, learn, tmp_path):
    settings = make_settings(train=QUICK)
    learn(settings)
    with pytest.raises(SettingsError) as caught:
        learn(changed(settings, "train", learning_rate=1e-3))
    kept = tmp_path / "kept/train"
    assert str(caught.value) == (
        f"checkpoint {kept}/000001 cannot be used: it is of other settings: train.learning_rate is 0.003 there and "
        f"0.001 here; give this run another run_id, or remove {kept} to begin it again"
    )


def test_other_data_under_the_same_run_id_are_refused(make_settings, learn, write_rows):
    settings = make_settings(train=QUICK)
    learn(settings)
    with pytest.raises(SettingsError, match="it is of other data or another base model"):
        learn(changed(settings, "data", train=str(write_rows("single", 1, 300))))


def test_how_often_and_where_from_makes_no_other_run(make_settings, learn, write_rows, capsys):
    settings = make_settings(train=QUICK)
    learn(settings)
    elsewhere = changed(settings, "data", train=str(write_rows("single", 0, 300)))
    learn(changed(elsewhere, "train", checkpoint=CheckpointSettings(steps=9)))
    assert "the run goes on from" in capsys.readouterr().out


LONG = QUICK | {"epochs": 8, "patience": 8, "dropout": 0.2, "checkpoint": {"steps": 4}}


def kill_after_checkpoint(settings, registry, number):
    """Run a job in a process of its own, and kill it once it has written so many checkpoints."""
    asked = settings.model_dump(mode="json", exclude_unset=True)
    config = settings.output.with_suffix(".yaml")
    config.write_text(json.dumps(asked))
    environment = os.environ | {"REGISTRY_URI": registry.uri, "REGISTRY_CACHE": str(registry.cache)}
    process = subprocess.Popen([sys.executable, "-m", "tunewright", "train", "--config", str(config)], env=environment)
    until = time.monotonic() + 120
    while not (settings.output / f"r1/checkpoints/train/{number:06}").exists():
        assert (process.poll(), time.monotonic() < until) == (None, True)
        time.sleep(0.01)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_process_that_is_killed_ends_with_the_same_bits(make_settings, registry, tmp_path, capsys):
    asked = {"run_id": "r1", "train": LONG, "export": {"variants": ["fp32"], "explained_rows": 0}, "gate": {}}
    whole, killed = (make_settings(**asked, output=str(tmp_path / name)) for name in ("whole", "killed"))
    run(whole, registry.model_copy(update={"uri": str(tmp_path / "other")}))
    kill_after_checkpoint(killed, registry, random.randrange(4, 14))
    capsys.readouterr()
    run(killed, registry)
    assert "the run goes on from" in capsys.readouterr().out
    # A version is in the registry: nobody needs them any more.
    assert not (tmp_path / "killed/r1/checkpoints").exists()
    assert_same(*(load_file(one.output / "r1/bundle/weights/model.safetensors") for one in (whole, killed)))
    lines = [json.loads((one.output / "r1/bundle/lineage.json").read_text()) for one in (whole, killed)]
    assert lines[0]["training"]["history"] == lines[1]["training"]["history"]
