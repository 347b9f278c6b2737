"""The trackers that the settings name: whether they can be had, and how each begins a run."""

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tunewright.job.checkpoints.mirror import Mirror
from tunewright.job.progress.record import FOLDER, Record
from tunewright.job.progress.tracker import Run, Tracker
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.track import MLflowSettings, TensorBoardSettings, WandbSettings
from tunewright.registry.stores.store import Store
from tunewright.registry.variables import flat

MODULES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
"""What is imported for each tracker."""


def track_faults(settings: JobSettings) -> Iterator[str]:
    """Trackers whose library is not installed, or whose files have no place."""
    track = settings.track
    if track is None:
        return
    if not track.named:
        yield "track names no tracker; expected some of tensorboard, mlflow and wandb, or remove it"
    for name in track.named:
        found = importlib.util.find_spec(MODULES[name])
        # wandb itself makes a folder of its name, which Python takes for a package without code.
        if found is None or found.origin is None:
            yield f"track.{name} needs the package {MODULES[name]}: pip install 'tunewright[{name}]'"
        folder = getattr(getattr(track, name), "folder", None)
        if name != "mlflow" and folder is None and not isinstance(settings.output, Path):
            yield f"track.{name}.folder must be set, since output is a bucket: a folder of this machine"


def trackers(settings: JobSettings, run_id: str) -> dict[str, Callable[[], Tracker]]:
    """How each tracker begins this run, by its name."""
    if settings.track is None:
        return {}
    run, track = _run(settings, run_id), settings.track
    begin: dict[str, Callable[[], Tracker]] = {}
    # Each is imported beside the job, which does not wait for it.
    if track.tensorboard:
        begin["tensorboard"] = partial(_tensorboard, run, track.tensorboard, settings)
    if track.mlflow:
        begin["mlflow"] = partial(_mlflow, run, track.mlflow)
    if track.wandb:
        begin["wandb"] = partial(_wandb, run, track.wandb, settings)
    return begin


def record(
    settings: JobSettings, run_id: str, output: Path, bucket: Store | None, number: int
) -> Callable[[], Tracker]:
    """How the record of this run begins, which `tunewright runs` reads: in the output folder, and in its bucket.
    `number`: of this try."""
    mirror = Mirror(bucket, FOLDER) if bucket else None
    path = output / FOLDER / f"{run_id}.json"

    def begin() -> Tracker:
        if mirror and not path.is_file():
            mirror.fetch(path.name, path)
        sent = (lambda written: mirror.send(written.parent, [written.name])) if mirror else (lambda written: None)
        return Record(_run(settings, run_id), path, sent, number=number)

    return begin


def _run(settings: JobSettings, run_id: str) -> Run:
    asked = {name: value for name, value in settings.told().items() if name != "track"}
    return Run(run_id, settings.model_name, {name: str(value) for name, value in flat(asked)})


def _tensorboard(run: Run, asked: TensorBoardSettings, settings: JobSettings) -> Tracker:
    from tunewright.job.progress.tensorboard import TensorBoard

    return TensorBoard(run, asked.folder or Path(settings.output) / "tensorboard")


def _mlflow(run: Run, asked: MLflowSettings) -> Tracker:
    from tunewright.job.progress.mlflow import MLflow

    return MLflow(run, asked.experiment or run.model, asked.uri)


def _wandb(run: Run, asked: WandbSettings, settings: JobSettings) -> Tracker:
    from tunewright.job.progress.wandb import Wandb

    folder = asked.folder or Path(settings.output)
    return Wandb(run, folder, project=asked.project or run.model, entity=asked.entity, mode=asked.mode)
