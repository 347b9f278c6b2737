"""A run for Weights & Biases: in a folder, or sent as it goes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import wandb

from tunewright.job.progress.tracker import Run, Status, write_files

Mode = Literal["offline", "online"]


class Wandb:
    """One run, which a later try of the same run id goes on with."""

    def __init__(self, run: Run, folder: Path, *, project: str, entity: str | None, mode: Mode) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # What the job prints, and the code around it, are nobody's business there.
        quiet = wandb.Settings(console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True)
        self._run = wandb.init(
            id=run.id,
            resume="allow",
            project=project,
            entity=entity,
            dir=str(folder),
            mode=mode,
            config=dict(run.settings),
            tags=[run.model],
            settings=quiet,
        )
        # A try that goes on may begin at an earlier step, which the counter of wandb itself does not take.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Figures at this step."""
        self._run.log({**values, "step": step})

    def tags(self, tags: Mapping[str, str]) -> None:
        """What is known of the run, beside its settings."""
        self._run.config.update({f"tunewright.{name}": value for name, value in tags.items()}, allow_val_change=True)

    def files(self, files: Mapping[str, bytes]) -> None:
        """Files of the run, by their paths."""
        # From elsewhere it would be links, which lead nowhere once the run is over.
        folder = Path(self._run.dir)
        write_files(files, folder)
        for name in files:
            self._run.save(str(folder / name), base_path=str(folder), policy="now")

    def end(self, status: Status) -> None:
        """Say how it ended."""
        self._run.finish(exit_code=int(status != "finished"))
