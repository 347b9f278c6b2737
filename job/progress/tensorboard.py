"""A run for TensorBoard: event files in a folder of its own."""

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

from tunewright.job.progress.tracker import Run, Status


class TensorBoard:
    """Writes scalars and texts. What an earlier try of the run told of later steps is taken back."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._folder = folder / run.model / run.id
        self._writer: SummaryWriter | None = None
        self._texts = {"settings": _table(run.settings)}

    def _open(self, step: int | None = None) -> SummaryWriter:
        if self._writer is None:
            # Two tries within a second would write one file.
            self._writer = SummaryWriter(str(self._folder), purge_step=step, filename_suffix=f".{time.time_ns()}")
            for name, text in self._texts.items():
                self._writer.add_text(name, text, 0)
        return self._writer

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Scalars at this step."""
        writer = self._open(step)
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def tags(self, tags: Mapping[str, str]) -> None:
        """A table of them."""
        self._open().add_text("version", _table(tags), 0)

    def files(self, files: Mapping[str, bytes]) -> None:
        """The texts among them: TensorBoard shows no other files."""
        for name, content in files.items():
            if name.endswith(".md"):
                self._open().add_text(name, content.decode(), 0)

    def end(self, status: Status) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def _table(values: Mapping[str, str]) -> str:
    lines = [f"| {name} | {value} |" for name, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *lines])
