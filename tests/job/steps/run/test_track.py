"""Trackers that read along with a job, each read back with its own library."""

import importlib.util
import json
import time
from pathlib import Path

import pytest

from tunewright.job.commands.runs import main_figure, read_runs
from tunewright.job.errors import SettingsError
from tunewright.job.recipe import run
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.load import load_settings
from tunewright.job.steps.contradictions import contradictions
from tunewright.job.steps.run import track
from tunewright.job.steps.run.track import trackers
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull

TENSORBOARD, MLFLOW, WANDB = "tensorboardX", "mlflow", "wandb"


def settings_of(output, **asked):
    return JobSettings(model_name="reviews", data={"train": "nowhere.csv"}, output=output, track=asked)


def test_a_tracker_that_is_not_installed_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(track, "MODULES", {"mlflow": "not_mlflow", "wandb": "json", "tensorboard": "json"})
    settings = JobSettings(model_name="reviews", data={"train": "nowhere.csv"}, track=["mlflow", "wandb"])
    assert contradictions(settings) == ["track.mlflow needs the package not_mlflow: pip install 'tunewright[mlflow]'"]


def test_files_of_a_tracker_need_a_folder_of_this_machine(monkeypatch):
    monkeypatch.setattr(track, "MODULES", dict.fromkeys(track.MODULES, "json"))
    settings = settings_of("s3://bucket/runs", tensorboard={}, mlflow={}, wandb={"folder": "/var/wandb"})
    assert contradictions(settings) == [
        "track.tensorboard.folder must be set, since output is a bucket: a folder of this machine"
    ]


def test_no_tracker_is_none():
    assert contradictions(settings_of("runs")) == [
        "track names no tracker; expected some of tensorboard, mlflow and wandb, or remove it"
    ]
    assert trackers(JobSettings(model_name="x", data={"train": "y.csv"}), "run1") == {}


def test_names_are_enough_and_credentials_are_no_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("JOB_TRACK__WANDB__PROJECT", "texts")
    config = tmp_path / "job.yaml"
    config.write_text("{model_name: x, data: {train: y.csv}, track: [mlflow]}")
    read = load_settings(["--config", str(config)], "test")
    assert read.track is not None
    assert (read.track.wandb, read.track.mlflow) != (None, None)
    with pytest.raises(SettingsError) as caught:
        load_settings(["--config", str(config), "--track.mlflow.uri", "https://me:secret@mlflow"], "test")
    assert "expected an address without credentials; give MLFLOW_TRACKING_USERNAME" in str(caught.value)


def told(name, settings, run_id="run1"):
    """One figure and one end, told to the tracker of a run."""
    tracker = trackers(settings, run_id)[name]()
    tracker.figures({"train/loss": 0.5}, 3)
    tracker.tags({"version": "7"})
    tracker.files({"report/README.md": b"# reviews", "report/metrics.json": b"{}"})
    tracker.end("finished")


def figures_of(folder):
    """What TensorBoard's own reader finds in a folder of event files: figure to its steps and values."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = reader.EventAccumulator(str(folder))
    read.Reload()
    return {name: [(one.step, one.value) for one in read.Scalars(name)] for name in read.Tags()["scalars"]}


def text_of(folder, name):
    """A text of these event files, as TensorBoard's own reader has it."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = reader.EventAccumulator(str(folder))
    read.Reload()
    (found,) = read.Tensors(f"{name}/text_summary")
    return found.tensor_proto.string_val[0].decode()


needs = {
    name: pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")
    for name in (TENSORBOARD, MLFLOW, WANDB)
}


@pytest.mark.slow
@needs[TENSORBOARD]
def test_a_run_that_goes_on_takes_back_what_came_after(tmp_path):
    settings = settings_of(tmp_path, tensorboard={"folder": tmp_path / "boards"})
    for losses in ({1: 4.0, 2: 3.0, 3: 2.0}, {2: 1.0}):
        tracker = trackers(settings, "run1")["tensorboard"]()
        for step, loss in losses.items():
            tracker.figures({"train/loss": loss}, step)
        tracker.end("stopped")
    assert figures_of(tmp_path / "boards/reviews/run1") == {"train/loss": [(1, 4.0), (2, 1.0)]}


@pytest.mark.slow
@needs[MLFLOW]
@needs[WANDB]
def test_each_tracker_is_begun_as_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    named = {"project": "texts", "entity": "us", "mode": "offline", "folder": tmp_path / "there"}
    settings = settings_of(tmp_path, mlflow={"uri": uri, "experiment": "texts"}, wandb=named)
    for name in ("mlflow", "mlflow", "wandb"):
        told(name, settings)
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (found,) = client.search_runs([client.get_experiment_by_name("texts").experiment_id])
    assert (found.info.status, found.data.tags["tunewright.version"]) == ("FINISHED", "7")
    (folder,) = (tmp_path / "there/wandb").glob("offline-run-*-run1")
    assert (folder / "files/report/README.md").read_text() == "# reviews"
    assert not (folder / "files/report/README.md").is_symlink()
    # The process of wandb writes the last of it after its run is over.
    written = folder / "run-run1.wandb"
    assert any(b"texts" in written.read_bytes() or time.sleep(0.1) for _ in range(600))


@pytest.mark.slow
@needs[TENSORBOARD]
@needs[MLFLOW]
@needs[WANDB]
def test_a_whole_run_is_in_every_tracker(make_settings, registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    asked = {"track": {"tensorboard": {}, "mlflow": {"uri": uri}, "wandb": {}}, "output": str(tmp_path / "runs")}
    quick = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 32, "precision": "fp32"}
    settings = make_settings(train=quick, export={"variants": ["fp32"], "explained_rows": 0}, run_id="whole", **asked)
    outcome = run(settings, registry)
    metrics = outcome.release.evaluations["fp32"].metrics
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (found,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert found.data.metrics["test/fp32/accuracy"] == pytest.approx(metrics["accuracy"])
    assert found.data.params["train.learning_rate"] == "0.003"
    tags = {name.removeprefix("tunewright."): value for name, value in found.data.tags.items()}
    assert (tags["run_id"], tags["model"], tags["version"]) == ("whole", "tiny", "1")
    losses = client.get_metric_history(found.info.run_id, "train/loss")
    assert max(one.step for one in losses) == 20
    lineage = client.download_artifacts(found.info.run_id, "lineage.json", str(tmp_path))
    with open(lineage) as file:  # noqa: PTH123 - the client gives a text
        assert json.load(file)["run_id"] == "whole"
    # Byte for byte what the version has, which the registry has checked.
    folder = pull(open_store(registry.uri), "tiny:1", cache=registry.cache).folder
    held = {f"report/{one.name}" for one in (folder / "report").iterdir()}
    assert held >= {"report/report.html", "report/README.md", "report/metrics.json"}
    assert {one.path for one in client.list_artifacts(found.info.run_id, "report")} == held
    (offline,) = (tmp_path / "runs/wandb").glob("offline-run-*-whole/files")
    for name in held:
        fetched = client.download_artifacts(found.info.run_id, name, str(tmp_path))
        assert Path(fetched).read_bytes() == (offline / name).read_bytes() == (folder / name).read_bytes()
    read = figures_of(tmp_path / "runs/tensorboard/tiny/whole")
    assert read["validation/accuracy"][-1][0] == 20
    assert [step for step, _ in read["train/loss"]][-1] == 20
    card = text_of(tmp_path / "runs/tensorboard/tiny/whole", "report/README.md")
    assert card == (folder / "report/README.md").read_text()


@pytest.mark.slow
def test_a_run_leaves_its_record_in_its_folder_or_bucket(make_settings, registry, tmp_path, bucket):
    quick = {"epochs": 1, "learning_rate": 3e-3, "batch_size": 32, "precision": "fp32"}
    for output in (str(tmp_path / "runs"), f"s3://{bucket}/runs"):
        name = output.partition(":")[0].rpartition("/")[2]
        asked = {"train": quick, "export": {"variants": ["fp32"], "explained_rows": 0}, "run_id": name}
        outcome = run(make_settings(output=output, **asked), registry)
        (found,) = read_runs(output, last=9)
        assert (found.run_id, found.status, found.tags["version"]) == (name, "finished", str(outcome.version.number))
        assert main_figure(found) == ("accuracy", outcome.release.evaluations["fp32"].metrics["accuracy"])
        assert found.losses[-1][0] == 10
