"""Losses and gradient norms are read from a GPU every few steps: reading one waits until all before it is done, and the
GPU then waits for the next step. On a processor nothing waits, and each is read at once."""

import math
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import torch

from tunewright.job.train.distributed import World
from tunewright.job.train.faults.not_finite import Fault, leave_out
from tunewright.job.train.state import Progress

STEPS_UNREAD = {"cuda": 16}
"""After how many steps they are read, by device; on others at once."""


@dataclass
class _Step:
    place: str
    losses: list[torch.Tensor] = field(default_factory=list)
    """Summed, of each part."""
    rows: list[list[int]] = field(default_factory=list)
    """Of each part."""
    total: float = 0.0
    """Of all parts and processes, where it was read at once."""
    norm: torch.Tensor = field(default_factory=lambda: torch.zeros(()))
    """Of its gradient."""
    weight: float = 0.0
    rate: float = 0.0


class LossReader:
    """What is not read yet of the steps that are done."""

    def __init__(self, device: str, on_non_finite: Literal["stop", "skip"], world: World) -> None:
        # A step that may be left out must be known before the weights change; several processes wait for each other
        # at each step as it is.
        later = on_non_finite == "stop" and world.size == 1
        self._every = STEPS_UNREAD.get(device, 0) if later else 0
        self._device, self._world = device, world
        self._done: list[_Step] = []

    def begin(self, progress: Progress) -> None:
        """A step begins. What is known of one that was broken off is forgotten."""
        self._step = _Step(f"step {progress.step + 1} in epoch {progress.epoch}")

    def part(self, loss: torch.Tensor, rows: list[int]) -> Fault | None:
        """The summed loss of a part of the step; where it is read at once, whether it is not finite."""
        self._step.losses.append(loss.detach())
        self._step.rows.append(rows)
        return None if self._every else _fault("loss", float(loss.detach()), rows)

    def total(self) -> Fault | None:
        """All parts are computed: the sum of their losses, of all processes, likewise."""
        if self._every:
            return None
        own = float(sum(self._step.losses, torch.zeros((), device=self._device)))
        self._step.total = self._world.total(own)
        return _fault("loss", self._step.total, list(chain(*self._step.rows)))

    def gradient(self, norm: torch.Tensor) -> Fault | None:
        """The norm of the step's gradient, likewise."""
        self._step.norm = norm.detach()
        return None if self._every else _fault("gradient", float(norm), list(chain(*self._step.rows)))

    def end(self, weight: float, rate: float, progress: Progress) -> None:
        """The weights have changed; the losses are summed into `progress` now or later."""
        self._step.weight, self._step.rate = weight, rate
        if not self._every:
            progress.add(self._step.total, weight, rate, float(self._step.norm))
            return
        self._done.append(self._step)
        if len(self._done) >= self._every:
            self.settle(progress)

    def settle(self, progress: Progress) -> None:
        """Sum the losses of all steps that are done into `progress`; TrainingFailed for the first step of which
        something is not finite."""
        held = [tensor.float().to(self._device) for step in self._done for tensor in (*step.losses, step.norm)]
        values = iter(torch.stack(held).cpu() if held else ())
        for step in self._done:
            own = [next(values) for _ in step.losses]
            found = [_fault("loss", float(loss), rows) for loss, rows in zip(own, step.rows, strict=True)]
            norm = float(next(values))
            found.append(_fault("gradient", norm, list(chain(*step.rows))))
            for fault in filter(None, found):
                leave_out(fault._replace(place=step.place), progress, "stop")
            progress.add(float(sum(own, torch.zeros(()))), step.weight, step.rate, norm)
        self._done = []


def _fault(what: str, value: float, rows: list[int]) -> Fault | None:
    return None if math.isfinite(value) else Fault(what, value, rows)
