"""The same job, tried again, does what is left to do and nothing twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from tunewright.job.errors import SettingsError
from tunewright.job.recipe import prepare_all
from tunewright.job.settings.train import AdaptSettings, CheckpointSettings
from tunewright.job.steps.adapt import adapt
from tunewright.job.steps.resume import open_checkpoints
from tunewright.job.steps.teach import teach

QUICK = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32", "pooling": "mean"}
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


@pytest.mark.parametrize("way", WAYS)
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
        f"checkpoint {kept}/000002 cannot be used: it is of other settings: train.learning_rate is 0.003 there and "
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


@pytest.fixture
def job(make_settings, registry, monkeypatch, tmp_path):
    """job("runs") starts `tunewright train` with its output there; what still runs at the end is killed."""
    monkeypatch.setenv("REGISTRY_CACHE", str(registry.cache))
    settings = make_settings().model_dump(mode="json", include={"base_model", "data"}, exclude_unset=True)
    started = []

    def start(output):
        train = {**QUICK, "epochs": 40, "patience": 40, "dropout": 0.2, "accumulation": 2, "checkpoint": {"steps": 7}}
        job = {**settings, "model_name": "tiny", "run_id": "r1", "output": str(tmp_path / output), "train": train}
        job |= {"export": {"variants": ["fp32"], "explained_rows": 0}, "gate": {"max_drop": {}}}
        (tmp_path / f"{output}.yaml").write_text(json.dumps(job))
        command = [sys.executable, "-m", "tunewright", "train", "--config", str(tmp_path / f"{output}.yaml")]
        environment = {**os.environ, "REGISTRY_URI": str(tmp_path / f"{output}-registry")}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def weights(folder):
    return load_file(folder / "weights" / "model.safetensors")


def wait_for_checkpoint(process, folder, number):
    until = time.monotonic() + 120
    while not any(int(path.name) >= number for path in folder.glob("[0-9]*") if path.name.isdecimal()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 75), (signal.SIGINT, 130)]
)
def test_a_process_that_is_stopped_again_and_again_ends_with_the_same_bits(job, tmp_path, number, code):
    whole = job("whole")
    assert whole.communicate(timeout=300)[1] == ""
    chance = random.Random(number)
    at = 0
    for _ in range(3):
        process = job("stopped")
        at += chance.randrange(8, 22)
        wait_for_checkpoint(process, tmp_path / "stopped/r1/checkpoints/train", at)
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == code
    last = job("stopped")
    said, errors = last.communicate(timeout=300)
    assert (errors, last.returncode) == ("", 0)
    assert "the run goes on from" in said
    # A version is in the registry: nobody needs them any more.
    assert not (tmp_path / "stopped/r1/checkpoints").exists()
    assert_same(weights(tmp_path / "stopped/r1/bundle"), weights(tmp_path / "whole/r1/bundle"))
    lines = [json.loads((tmp_path / name / "r1/bundle/lineage.json").read_text()) for name in ("whole", "stopped")]
    assert lines[0]["training"]["history"] == lines[1]["training"]["history"]
