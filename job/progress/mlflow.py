"""A run for MLflow: in the experiment of its model, found again by the run id of the job."""

import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from tunewright.job.progress.tracker import Run, Status, write_files

RUN_ID = "tunewright.run_id"
"""The tag that tells which run of the job it is."""
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_AT_ONCE = 100
"""Settings that MLflow takes in one request."""
_LONGEST = 6000
"""Characters of a setting that it takes."""


class MLflow:
    """Metrics, parameters, tags and artifacts of one run."""

    def __init__(self, run: Run, experiment: str, uri: str | None) -> None:
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = MlflowClient(uri)
        found = self._client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else self._client.create_experiment(experiment)
        runs = self._client.search_runs([place], f"tags.`{RUN_ID}` = '{run.id}'", max_results=1)
        if runs:
            self._id = runs[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            made = self._client.create_run(place, run_name=run.id, tags={RUN_ID: run.id})
            self._id = made.info.run_id
        known = runs[0].data.params if runs else {}
        # One that an earlier try has told stays as it was told.
        told = [Param(name, value[:_LONGEST]) for name, value in run.settings.items() if name not in known]
        for start in range(0, len(told), _AT_ONCE):
            self._client.log_batch(self._id, params=told[start : start + _AT_ONCE])

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Metrics at this step."""
        now = round(time.time() * 1000)
        self._client.log_batch(self._id, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def tags(self, tags: Mapping[str, str]) -> None:
        """Tags, each with the name of this program before it."""
        self._client.log_batch(self._id, tags=[RunTag(f"tunewright.{name}", value) for name, value in tags.items()])

    def files(self, files: Mapping[str, bytes]) -> None:
        """Artifacts, by their paths."""
        with tempfile.TemporaryDirectory(prefix="tunewright-") as folder:
            write_files(files, Path(folder))
            self._client.log_artifacts(self._id, folder)

    def end(self, status: Status) -> None:
        """Say how it ended."""
        self._client.set_terminated(self._id, _STATUS[status])
