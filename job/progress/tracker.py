"""What a tracker of runs is told, whichever it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Status = Literal["finished", "failed", "stopped"]


@dataclass(frozen=True)
class Run:
    """A run as a tracker begins it, or goes on with it where an earlier try has begun it."""

    id: str
    """The run id of the job: the tracker's run of the same id is gone on with."""
    model: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """Every setting by its name with dots."""


class Tracker(Protocol):
    """Where figures of a run go. Any call may fail, and may take its time: see `Courier`."""

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Figures by their names (train/loss, validation/accuracy), after so many steps."""

    def tags(self, tags: Mapping[str, str]) -> None:
        """What is known of the run besides."""

    def files(self, files: Mapping[str, bytes]) -> None:
        """Files of the report by their paths in the version."""

    def end(self, status: Status) -> None:
        """No more will come in this process."""


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Files below a folder, by their paths."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
