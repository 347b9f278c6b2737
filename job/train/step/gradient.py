"""One step of the optimizer: the gradient of all its rows, clipped, and the weights changed by it."""

import torch
from torch import nn

from tunewright.job.train.faults.memory import TooLarge
from tunewright.job.train.faults.not_finite import Fault, leave_out
from tunewright.job.train.regularised import shrink
from tunewright.job.train.state import (
    Progress,
    random_state,
)
from tunewright.job.train.step.parts import Part
from tunewright.job.train.step.prepared import Loop


def one_step(loop: Loop, shared: nn.Module, parts: list[Part], progress: Progress) -> None:
    """One step of the optimizer over all rows of its parts, the gradient that of their mean.

    Each part counts by what its loss is a mean over, however the rows of a step are dealt: a batch of few words is not
    worth as much as one of many. Of several processes each has its parts, and the mean of their gradients is taken.
    """
    whole = loop.world.agree(sum(part.weight for part in parts))
    fault = _gradient(loop, shared, parts, whole or 1.0, progress)
    if fault:
        leave_out(fault, progress, loop.settings.on_non_finite)
    else:
        rate = float(max(loop.schedule.get_last_lr()))
        _update(loop)
        progress.in_a_row = 0
        loop.losses.end(whole, rate, progress)
    loop.gradients.clear()
    progress.step += 1
    progress.random = random_state()


def _gradient(loop: Loop, shared: nn.Module, parts: list[Part], whole: float, progress: Progress) -> Fault | None:
    """The gradient of the mean loss, clipped; what is known not to be finite of it, for all processes alike."""
    fault, alone = None, loop.world.size == 1
    loop.losses.begin(progress)
    for number, (batch, rows, weight, _) in enumerate(parts):
        loop.world.check()
        is_last = not alone and number == len(parts) - 1
        if not weight and not is_last and not loop.in_shards:
            continue
        try:
            with loop.world.exchanging(shared, is_last=is_last):
                loss = shared(batch, batch.pop("targets"), weight)
                if found := loop.losses.part(loss, rows):
                    fault = fault or found
                    # The others learn it from the sum.
                    if alone or loop.settings.on_non_finite == "stop":
                        return fault
                loop.accelerator.backward(loss / (whole / loop.world.size))
                loop.gradients.gather()
        except torch.OutOfMemoryError as error:
            if not alone:
                raise
            raise TooLarge from error
    if of_all := loop.losses.total():
        return fault or of_all
    return loop.losses.gradient(loop.gradients.clip(loop.settings.clip))


def _update(loop: Loop) -> None:
    """Change the weights by the gradient."""
    loop.optimizer.step()
    if loop.settings.l1:
        shrink(loop.optimizer, loop.settings.l1)
    loop.schedule.step()
    if loop.mean:
        loop.mean.update()
