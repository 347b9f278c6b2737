"""The same job, tried again, does what is left to do and nothing twice."""

import json
import os
import random
import shutil
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
from tunewright.registry.errors import Unreachable
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull

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


def kill_after_checkpoint(settings, registry, tmp_path, is_there):
    """Run a job in a process of its own, and kill it once a checkpoint is there."""
    config = tmp_path / "job.yaml"
    config.write_text(json.dumps(settings.model_dump(mode="json", exclude_unset=True)))
    environment = os.environ | {"REGISTRY_URI": registry.uri, "REGISTRY_CACHE": str(registry.cache)}
    process = subprocess.Popen([sys.executable, "-m", "tunewright", "train", "--config", str(config)], env=environment)
    until = time.monotonic() + 300
    while not is_there():
        assert (process.poll(), time.monotonic() < until) == (None, True)
        time.sleep(0.05)
    process.kill()
    process.wait()


def learned(registry):
    """The weights and the history of what was registered."""
    folder = pull(open_store(registry.uri), "tiny:1", cache=registry.cache).folder
    history = json.loads((folder / "lineage.json").read_text())["training"]["history"]
    return load_file(folder / "weights/model.safetensors"), history


TO_BE_KILLED = {"run_id": "r1", "train": LONG, "export": {"variants": ["fp32"], "explained_rows": 0}, "gate": {}}


@pytest.fixture(scope="module")
def whole(make_settings, tmp_path_factory):
    """What such a run learns in one go."""
    folder = tmp_path_factory.mktemp("whole")
    registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
    run(make_settings(**TO_BE_KILLED), registry)
    return learned(registry)


@pytest.mark.slow
def test_a_process_that_is_killed_ends_with_the_same_bits(whole, make_settings, registry, tmp_path, capsys):
    settings = make_settings(**TO_BE_KILLED, output=str(tmp_path / "killed"), keep_bundle=False)
    written = settings.output / f"r1/checkpoints/train/{random.randrange(4, 14):06}"
    kill_after_checkpoint(settings, registry, tmp_path, written.exists)
    capsys.readouterr()
    run(settings, registry)
    assert "the run goes on from" in capsys.readouterr().out
    # A version is in the registry: nobody needs them any more.
    assert [path.name for path in (settings.output / "r1").iterdir()] == ["rows"]
    assert learned(registry)[1] == whole[1]
    assert_same(learned(registry)[0], whole[0])


@pytest.mark.slow
def test_a_run_goes_on_from_its_bucket_on_an_empty_disk(whole, make_settings, registry, bucket, tmp_path, capsys):
    settings = make_settings(**TO_BE_KILLED, output=f"s3://{bucket}/runs", keep_bundle=False)
    there, number = open_store(settings.output), random.randrange(4, 14)

    def is_there():
        kept = [int(stat.key.split("/")[3]) for stat in there.list("r1/checkpoints/") if "manifest" in stat.key]
        return max(kept, default=0) >= number

    kill_after_checkpoint(settings, registry, tmp_path, is_there)
    shutil.rmtree(registry.cache)
    there.create("r2/of-another-run", b"x")
    capsys.readouterr()
    run(settings, registry)
    said = capsys.readouterr().out
    assert f"the run goes on from {settings.output}/r1/checkpoints/train/" in said
    assert f"files lie in {registry.cache}/runs/" in said
    keys = [stat.key for stat in there.list("")]
    assert {key.split("/")[1] for key in keys} == {"r1.json", "rows", "of-another-run"}
    assert not list((registry.cache / "runs").glob("*/r1"))
    assert learned(registry)[1] == whole[1]
    assert_same(learned(registry)[0], whole[0])


@pytest.mark.slow
def test_a_registry_that_is_away_at_the_end_loses_nothing(make_settings, faulty_uri, faults, tmp_path, capsys):
    registry = RegistrySettings(uri=faulty_uri, cache=tmp_path / "cache")
    settings = make_settings(train=QUICK, run_id="r1", export={"variants": ["fp32"]}, gate={}, wait_minutes=0.001)
    away = faults.inject("503 SlowDown", "PUT", "/versions/", times=10**6)
    with pytest.raises(Unreachable, match="the server failed after every retry"):
        run(settings, registry)
    away.times = 5
    capsys.readouterr()
    assert run(settings.model_copy(update={"wait_minutes": 1}), registry).version.number == 1
    said = capsys.readouterr().out
    assert f"{faults.url} does not answer (503); it is waited for" in said
    assert "export is done already" in said


def test_the_registry_is_no_place_for_runs(make_settings, registry, bucket):
    settings = make_settings(output=f"s3://{bucket}/registry/")
    with pytest.raises(SettingsError) as caught:
        run(settings, registry.model_copy(update={"uri": f"s3://{bucket}/registry"}))
    assert str(caught.value) == (
        f"output is 's3://{bucket}/registry', which is the registry: files of runs need a prefix of their own"
    )
