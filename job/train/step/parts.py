"""What goes through a model together: some rows of a step, put together when they are asked for."""

from typing import NamedTuple

import torch
from torch.utils.data import Dataset

from tunewright.job.batches.side import Batch, Rows
from tunewright.job.train.cost.work import Work, WorkCounter
from tunewright.job.train.next_token import places
from tunewright.job.train.objective import Objective


class Numbers(Dataset[int]):
    """Row numbers; the rows themselves are read when a batch is put together."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> int:
        return index


class Part(NamedTuple):
    """Rows that go through the model together."""

    batch: Batch
    """With the targets; on the device."""
    rows: list[int]
    weight: float
    """What the mean of their loss is a mean over."""
    work: Work = Work()
    """What they cost."""


class Collate:
    """Row numbers to a part of a step. All that is asked of it is found before it is on a GPU, which asking stops."""

    def __init__(self, rows: Rows, objective: Objective, count: WorkCounter) -> None:
        self._rows, self._objective, self._count = rows, objective, count

    def __call__(self, rows: list[int]) -> Part:
        # Where nothing is left of a step for this process, it takes part all the same: with any row, of no weight.
        batch = self._rows.batch(rows or [0])
        # Rows that were drawn say which ones they are.
        drawn = batch.pop("rows", torch.tensor(rows)).tolist()
        if "learned" in batch:
            batch["learned"] = places(batch["learned"])
        if not rows:
            return Part(batch, [], 0.0)
        work = self._count(batch, int(self._rows.lengths[rows].sum()), len(rows))
        return Part(batch, drawn, float(self._objective.weight(batch["targets"])), work)
