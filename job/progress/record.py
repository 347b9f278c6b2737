"""A run for `tunewright runs`: one small file beside the folders of the runs, written again with each measurement."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tunewright.job.progress.tracker import Run, Status

FOLDER = ".runs"
"""The folder in `output` that holds them."""


class RunRecord(BaseModel):
    """What is known of one run."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    run_id: str
    model: str
    settings: dict[str, str]
    started: float
    """Seconds since 1970."""
    seconds: float = 0.0
    """Of all tries together, up to the last measurement or the end."""
    tries: int = 1
    """That have begun, up to one which told something."""
    status: str = "unfinished"
    """finished, failed, stopped, or unfinished while it is at work or once it was killed."""
    losses: list[tuple[int, float]] = []
    """Steps, and the loss of training rows there."""
    figures: dict[str, float] = {}
    """The last of each."""
    tags: dict[str, str] = {}
    """version, digest, headline, variant."""


class Record:
    """Keeps the record of one run, and goes on with that of an earlier try. `send` takes what is written elsewhere;
    `number`: of this try."""

    def __init__(
        self, run: Run, path: Path, send: Callable[[Path], None] = lambda path: None, *, number: int = 1
    ) -> None:
        self._path, self._send, self._begun = path, send, time.time()
        self._record = RunRecord(run_id=run.id, model=run.model, settings=dict(run.settings), started=self._begun)
        try:
            before = RunRecord.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            before = self._record
        kept = {"settings": self._record.settings, "status": "unfinished", "tries": number}
        self._record, self._before = before.model_copy(update=kept), before.seconds
        self._is_told = False

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Keep the last of each, and every loss; what an earlier try told of later steps is taken back."""
        self._is_told = True
        self._record.figures |= values
        if "train/loss" in values:
            earlier = [one for one in self._record.losses if one[0] < step]
            self._record.losses = [*earlier, (step, values["train/loss"])]
        if len(values) > 1:
            self._write()

    def tags(self, tags: Mapping[str, str]) -> None:
        """Keep them."""
        self._record.tags |= tags

    def files(self, files: Mapping[str, bytes]) -> None:
        """They are in the version."""

    def end(self, status: Status) -> None:
        """Say how it ended; of a run that came to nothing there is no record."""
        if self._is_told:
            self._record.status = status
            self._write()

    def _write(self) -> None:
        self._record.seconds = round(self._before + time.time() - self._begun, 1)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self._record.model_dump()) + "\n", encoding="utf-8")
        new.replace(self._path)
        self._send(self._path)
