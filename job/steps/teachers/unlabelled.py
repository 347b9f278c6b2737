"""Rows without labels, and training rows with some of them added. Nothing here needs torch."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tunewright.job.data.cells import Cells
from tunewright.job.data.check import Checked, check
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.data.dataset import DatasetWriter, Values, open_dataset
from tunewright.job.data.readers.media_folder import MEDIA
from tunewright.job.data.sources.fetch import fetch
from tunewright.job.data.sources.media import find_folders
from tunewright.job.errors import DataError
from tunewright.job.kinds.plan import Part, Prepared
from tunewright.job.kinds.task import Task
from tunewright.job.progress.events import say
from tunewright.job.settings.fields import Sources
from tunewright.job.settings.job import JobSettings


@dataclass(frozen=True)
class InputsOnly:
    """Rows of a task of which nothing is read but the input."""

    task: Task
    options: type[Options] = Options

    @property
    def forms(self) -> tuple[Form, ...]:
        """Those of the task."""
        return self.task.forms

    @property
    def media(self) -> str:
        """That of the task."""
        return self.task.media

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """Of an input, and of nothing."""
        return self.task.columns.arrow_type(roles), pa.null()

    def read(self, cells: Cells) -> tuple[object, object]:
        """The input."""
        return self.task.columns.read(cells), None

    def identity(self, value: object) -> str:
        """As of any row."""
        return self.task.identity(value)


@dataclass(frozen=True)
class Unlabelled:
    """The rows of `data.unlabelled` or `data.out_of_scope` that stand nowhere else."""

    part: Part
    checked: Checked


def read_unlabelled(
    name: Literal["unlabelled", "out_of_scope"],
    settings: JobSettings,
    task: Task,
    roles: Roles,
    parts: Mapping[str, Part],
    folders: tuple[Path, Path],
) -> Unlabelled | None:
    """Read and check them; None where the settings name none. `folders`: the cache, and one to write to.

    A text that stands on one of the other sides, or a second time, is left out: what is measured is never learned.
    """
    source: Sources | None = getattr(settings.data, name)
    if source is None:
        return None
    cache, work = folders
    kind = settings.data.format or ""
    files = find_folders(source, kind, cache) if kind in MEDIA else fetch(source, cache)
    inputs = Roles(roles.inputs, "", "")
    checked = check(files, InputsOnly(task), inputs, settings.data, work / f"{name}.arrow", cache=cache)
    others = np.concatenate([part.keys for part in parts.values()])
    first = np.sort(np.unique(checked.keys, return_index=True)[1])
    kept = first[~np.isin(checked.keys[first], others)]
    left = len(checked.keys) - len(kept)
    also = f", {left:,} left out that stand on another side or repeat another one" if left else ""
    say("data", f"{name}: {len(kept):,} rows{also}", rows=len(kept))
    if not len(kept):
        raise DataError(f"data.{name} has no row that is not in train, validation or test; give others, or leave it")
    return Unlabelled(Part(checked.data.select(kept), np.zeros(0, np.float32), checked.keys[kept]), checked)


def extended(prepared: Prepared, rows: NDArray[np.int64], labels: Sequence[object], folder: Path) -> Prepared:
    """The data with some of its unlabelled rows in train, after those that are there. `rows`: their numbers; `labels`:
    what is said of each, as the data set keeps targets."""
    unlabelled, train, task = prepared.unlabelled, prepared.train, prepared.task
    assert unlabelled is not None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "train.arrow"
    added = unlabelled.data.select(rows)
    said = iter(labels)
    with closing(DatasetWriter(path, task.arrow_types(prepared.roles))) as writer:
        for inputs, given in train.data.batches():
            _add(writer, inputs, given)
        for inputs, _ in added.batches():
            _add(writer, inputs, [next(said) for _ in inputs])
    data, keys = open_dataset(path), np.concatenate([train.keys, unlabelled.keys[rows]])
    targets = task.target.encode(data.targets(), prepared.labels, prepared.problem)
    return replace(prepared, train=Part(data, targets, keys))


def _add(writer: DatasetWriter, inputs: Values, targets: Sequence[object]) -> None:
    for value, target in zip(inputs, targets, strict=True):
        writer.add(value, target)
