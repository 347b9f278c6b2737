"""What does not fit the memory goes through the model in smaller parts; a step learns from the same rows."""

import torch

from tunewright.job.batches.by_length import LengthGroupedBatches
from tunewright.job.errors import TrainingFailed
from tunewright.job.progress.events import warn
from tunewright.job.train.state import Progress


class TooLarge(Exception):
    """A part of a step did not fit the memory of the device."""


def halve(batches: LengthGroupedBatches, progress: Progress) -> None:
    """Have the parts of the step under way, and of all that follow, hold half as many tokens or fewer.

    TrainingFailed where it has no part that can be divided.
    """
    place = f"step {progress.step + 1} in epoch {progress.epoch} does not fit the memory"
    step = batches.steps()[progress.step]
    largest = max(batches.tokens(part) for part in step)
    if batches.room is None:
        raise TrainingFailed(f"{place}, and its rows cannot be divided; lower train.batch_size")
    if all(len(part) == 1 for part in step):
        raise TrainingFailed(f"{place}, not even a row of {largest:,} tokens alone; lower train.max_length")
    while batches.room >= largest:
        progress.halvings += 1
        batches.halvings = progress.halvings
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    warn(
        "train",
        f"{place}: from here on at most {batches.room:,} tokens go through the model at a time, not {largest:,}; a "
        "step still learns from all its rows",
        tokens=batches.room,
    )
