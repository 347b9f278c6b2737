"""What a run will take, from a few parts of its steps that are made before it begins."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tunewright.job.batches.by_length import LengthGroupedBatches
from tunewright.job.batches.side import Rows
from tunewright.serving.runtime.free_memory import forget_peak, free_memory, own_memory
from tunewright.serving.runtime.runs import plan_runs

Work = Callable[[list[int]], object]
"""What is done with some rows."""
_POINTS = 3
"""Parts that are measured, besides the largest one."""
_WAYS = 3
"""What learning takes as against an answer: the way there, and twice as much on the way back."""
_STAND_IN = 2**22
"""Weights of which the optimizer's step is measured, at most."""


@dataclass(frozen=True)
class Probed:
    """What was measured of a model that is about to learn."""

    epoch: float
    """Seconds of the steps of an epoch."""
    validation: float
    """Seconds of the answers to all validation rows."""
    alone: float
    """Seconds of the answer to one row alone."""
    held: int | None
    """Bytes that the largest part of a step takes, gradients included; None where that is not known."""
    largest: int
    """Tokens of that part, with padding."""


@dataclass(frozen=True)
class Rehearsal:
    """A model that can be tried: what is done with rows of the two sides."""

    batches: LengthGroupedBatches
    validation: Rows
    validation_tokens: int
    learn: Work
    answer: Work
    optimizer: torch.optim.Optimizer
    device: str

    def probe(self, accumulation: int) -> Probed:
        """Measure a few parts. torch.OutOfMemoryError where the largest one does not fit the memory of a GPU."""
        parts = [part for step in self.batches.steps() for part in step if part]
        loads = np.array([self.batches.tokens(part) for part in parts], dtype=np.float64)
        largest = int(loads.argmax())
        # The first one warms up.
        self.learn(parts[int(loads.argmin())])
        with Peak(self.device) as peak:
            self.learn(parts[largest])
        epoch = summed(loads, lambda place: self._seconds(self.learn, parts[place]))
        steps = -(-len(self.batches) // accumulation)
        epoch += steps * self._optimizer_seconds()
        validation, alone = self._answers()
        return Probed(epoch, validation, alone, peak.bytes, int(loads[largest]))

    def _answers(self) -> tuple[float, float]:
        lengths = self.validation.lengths
        if not len(lengths):
            one = next(part for step in self.batches.steps() for part in step if part)[:1]
            return 0.0, self._seconds(self.learn, one) / _WAYS
        runs = plan_runs(lengths.tolist(), self.validation_tokens)
        loads = np.array([len(run) * int(lengths[run].max()) for run in runs], dtype=np.float64)
        one = [int(np.argsort(lengths)[len(lengths) // 2])]
        self.answer(one)
        alone = self._seconds(self.answer, one)
        return summed(loads, lambda place: self._seconds(self.answer, runs[place])), alone

    def _seconds(self, work: Work, rows: list[int]) -> float:
        self._wait()
        started = time.perf_counter()
        work(rows)
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def _optimizer_seconds(self) -> float:
        """Of its step, from that of fewer weights in one piece: the weights themselves stay as they are."""
        weights: int = sum(weight.numel() for group in self.optimizer.param_groups for weight in group["params"])
        stand_in = torch.nn.Parameter(torch.zeros(min(weights, _STAND_IN), device=self.device))
        stand_in.grad = torch.zeros_like(stand_in)
        optimizer = torch.optim.AdamW([stand_in], fused=True)
        optimizer.step()
        return self._seconds(lambda _: optimizer.step(), []) * weights / max(1, len(stand_in))


def summed(loads: NDArray[np.float64], measure: Callable[[int], float]) -> float:
    """What all of `loads` take together, from what a few take, small ones and large ones. `measure`: of a place."""
    order = np.argsort(loads, kind="stable")
    reached = np.cumsum(loads[order])
    wanted = (np.arange(_POINTS) + 0.5) / _POINTS * reached[-1]
    places = order[np.unique(np.searchsorted(reached, wanted))]
    by_load = {float(loads[place]): measure(int(place)) / float(loads[place]) for place in places}
    points = sorted(by_load)
    rates = np.interp(loads, points, [by_load[point] for point in points])
    return float((loads * rates).sum())


class Peak:
    """The most memory that is taken meanwhile, over what is taken before."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.bytes: int | None = None

    def __enter__(self) -> "Peak":
        if self._device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self._before: int | None = torch.cuda.memory_allocated()
        else:
            self._before = resident() if forget_peak() else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            return
        peak = torch.cuda.max_memory_allocated() if self._device == "cuda" else own_memory("VmHWM")
        self.bytes = max(0, peak - self._before) if peak is not None else None


def resident() -> int | None:
    """Bytes of memory this process has; None where the system does not tell."""
    return own_memory("VmRSS")


def available(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes this process may have in all: what the machine has left, or the limit of its cgroup where that is less."""
    own, left = resident(), free_memory(proc, cgroup)
    return own + left if own is not None and left is not None else None
