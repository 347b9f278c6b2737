"""What a model that learns answers to a side, and the figures of that."""

from functools import partial

import torch

from tunewright.job.batches.sample import Sample
from tunewright.job.batches.side import Batch, Rows
from tunewright.job.errors import TrainingFailed
from tunewright.job.train.faults.not_finite import CALMER
from tunewright.job.train.objective import Scored
from tunewright.job.train.step.prepared import Loop, forward
from tunewright.serving.runtime.runs import plan_runs

GAUGED = 500
"""Training rows that are measured beside those of validation, at most."""


def figures(loop: Loop, sides: tuple[Rows, Rows]) -> dict[str, float]:
    """Figures of validation, and the one that decides of as many training rows."""
    train, validation = sides
    if not len(validation):
        return {}
    found = _measured(loop, validation)
    if loop.objective.gauged:
        some = Sample(train, min(len(validation), GAUGED))
        metric = loop.objective.metric
        found[f"train_{metric}"] = _measured(loop, some)[metric]
    return found


def _measured(loop: Loop, side: Rows) -> dict[str, float]:
    """Figures of a side: the first process finds them from what all have scored."""
    scored, found = _scored(loop, side), {}
    if loop.world.is_first:
        found = loop.objective.measure(scored)
    # The others get nothing, and yet do their share of the scoring by asking.
    for _ in scored:
        pass
    return loop.world.same(found)


def _scored(loop: Loop, side: Rows) -> Scored:
    """All batches of a side with their logits."""
    loop.model.eval()
    runs = list(plan_runs(side.lengths.tolist(), loop.objective.validation_tokens))
    return loop.world.dealt(runs, partial(answered, loop, side), together=loop.in_shards)


@torch.no_grad()
def answered(loop: Loop, side: Rows, rows: list[int]) -> tuple[list[int], Batch, torch.Tensor]:
    """Row numbers, their batch with its targets, and their logits; TrainingFailed where one is not finite."""
    loop.world.check()
    batch = {name: tensor.to(loop.accelerator.device) for name, tensor in side.batch(rows).items()}
    targets = batch.pop("targets")
    logits = forward(loop, batch)
    if not torch.isfinite(logits).all():
        raise TrainingFailed(f"the model answers a validation row with a number that is not finite; {CALMER}")
    batch["targets"] = targets
    if loop.world.size > 1:
        batch, logits = {name: tensor.cpu() for name, tensor in batch.items()}, logits.cpu()
    return rows, batch, logits
