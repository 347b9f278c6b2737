"""The state of training: all that an interrupted run needs to go on as if nothing had happened."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from tunewright.job.checkpoints.files import Snapshot
from tunewright.job.errors import SettingsError, first_line
from tunewright.job.model.layers import frozen_weights
from tunewright.job.train.averaging import RunningMean
from tunewright.job.train.cost.work import Pace, Work, pace_of
from tunewright.job.train.decision import Decision
from tunewright.job.train.device.fake_int8 import RoundingCost
from tunewright.job.train.device.shards import load_state, on_first, shared_like

Weights = dict[str, torch.Tensor]
_LONGEST_TRACE = 400
"""Steps of a trace, below."""
_COUNTED = ("since", "in_a_row", "halvings", "epoch", "step", "loss", "weight")
"""Numbers of a `Progress` that are kept as they are."""


@dataclass
class Trained:
    """What training came to."""

    precision: str
    device: str
    best_epoch: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    """Validation figures of the best epoch."""
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    """Time in training steps, validation not counted."""
    processor_seconds: float = 0.0
    """Time of processors in them, that of all threads together."""
    work: Work = field(default_factory=Work)
    """Of these steps."""
    steps: int = 0
    """Steps of the optimizer."""
    trace: list[dict[str, float]] = field(default_factory=list)
    """Some of them, evenly: `step`, mean `loss`, learning `rate` and gradient `norm` of each, and the `tokens` and
    `seconds` of all before."""
    traced: int = 1
    """Every how many of them."""
    left_out: int = 0
    """Steps of which the loss or the gradient was not finite."""
    remedies: list[dict[str, object]] = field(default_factory=list)
    """What each remedy for uneven labels reached, where several were tried."""
    pseudo_labels: list[dict[str, object]] = field(default_factory=list)
    """What each round of labelling rows by itself added and bought."""
    decision: Decision | None = None
    """Where one label begins, where that was moved."""
    rounding: RoundingCost | None = None
    """What int8 costs, where that was measured while learning."""

    @property
    def pace(self) -> Pace | None:
        """How fast it was; None where nothing was learned."""
        return pace_of(self.work, self.seconds)

    def step_done(self, loss: float, rate: float, norm: float) -> None:
        """A step has changed the weights. A trace that grows long keeps every second of its steps."""
        self.steps += 1
        if self.steps % self.traced:
            return
        seen = {"step": self.steps, "loss": loss, "rate": rate, "norm": norm}
        self.trace.append({**seen, "tokens": self.work.tokens, "seconds": round(self.seconds, 4)})
        if len(self.trace) == _LONGEST_TRACE:
            self.trace, self.traced = self.trace[1::2], 2 * self.traced

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count what is done meanwhile as time in training steps."""
        started, used = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - started
        self.processor_seconds += time.process_time() - used


@dataclass(frozen=True)
class RandomState:
    """The state of every source of random numbers that is not made anew from a seed."""

    processor: torch.Tensor
    devices: tuple[torch.Tensor, ...]
    """By GPU."""
    numpy: Mapping[str, Any]
    python: tuple[int, tuple[int, ...], float | None]


def random_state() -> RandomState:
    """As it is now."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return RandomState(torch.get_rng_state(), tuple(devices), np.random.get_state(legacy=False), random.getstate())


@dataclass
class Progress:
    """How far training is."""

    trained: Trained
    best: Weights = field(default_factory=dict)
    """The weights that did best so far."""
    ranked: list[tuple[float, Weights]] = field(default_factory=list)
    """The figures and weights of the best measurements, as many as will be averaged."""
    since: int = 0
    """Measurements since the best one."""
    in_a_row: int = 0
    """The last steps that were all left out."""
    halvings: int = 0
    """How often the parts of a step were made smaller."""
    epoch: int = 1
    """The epoch under way."""
    step: int = 0
    """Steps of the epoch under way that are done."""
    loss: float = 0.0
    """Summed over them."""
    weight: float = 0.0
    """What the mean of the loss is a mean over, summed over them."""
    random: RandomState = field(default_factory=random_state)
    """As these steps left it."""

    def add(self, loss: float, weight: float, rate: float, norm: float) -> None:
        """A step has changed the weights. `loss`: summed; `weight`: what its mean is a mean over."""
        self.loss += loss
        self.weight += weight
        self.trained.step_done(loss / max(weight, 1e-12), rate, norm)

    @property
    def mean_loss(self) -> float:
        """Of the epoch under way."""
        return self.loss / max(self.weight, 1e-12)


@dataclass(frozen=True)
class Learner:
    """What changes at each step."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    mean: RunningMean | None = None


def set_random_state(state: RandomState) -> None:
    """As it was then. On fewer or more GPUs those that there are both times are set."""
    torch.set_rng_state(state.processor)
    for index, device in enumerate(state.devices[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(device, index)
    np.random.set_state(dict(state.numpy))
    random.setstate(state.python)


def changing_weights(model: nn.Module) -> Weights:
    """A copy of all that training can change: the frozen weights beside adapters are left out."""
    frozen = frozen_weights(model)
    inside = tuple(f"{name}." for name in frozen)  # what weights in four bits consist of
    state = model.state_dict().items()
    return {name: _copy(tensor) for name, tensor in state if name not in frozen and not name.startswith(inside)}


def load_weights(model: nn.Module, weights: Weights) -> None:
    """Put back what `changing_weights` gave."""
    load_state(model, weights, strict=not frozen_weights(model))


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return on_first(tensor.detach()).to("cpu", copy=True).contiguous()


def capture(learner: Learner, progress: Progress, *, is_over: bool = False) -> Snapshot:
    """The state between two steps. When training is over only the best weights are of use."""
    state = progress.random
    tensors = {f"best/{name}": tensor for name, tensor in progress.best.items()}
    for place, (_, weights) in enumerate(progress.ranked):
        if weights is not progress.best:
            tensors |= {f"ranked/{place}/{name}": tensor for name, tensor in weights.items()}
    facts: dict[str, object] = {name: getattr(progress, name) for name in _COUNTED}
    facts |= {"trained": asdict(progress.trained), "ranked": [figure for figure, _ in progress.ranked]}
    if not is_over:
        tensors |= {f"model/{name}": tensor for name, tensor in changing_weights(learner.model).items()}
        tensors |= _moments(learner.optimizer)
        facts["schedule"] = learner.schedule.state_dict()
        facts["rates"] = [group["lr"] for group in learner.optimizer.param_groups]
        if learner.mean:
            tensors |= {f"mean/{name}": _copy(tensor) for name, tensor in learner.mean.weights.items()}
            facts["mean_steps"] = learner.mean.steps
    tensors["random/processor"] = state.processor
    tensors |= {f"random/devices/{index}": device for index, device in enumerate(state.devices)}
    numbers = state.numpy["state"]
    numpy_state = {**state.numpy, "state": {**numbers, "key": numbers["key"].tolist()}}
    facts["random"] = dict[str, object](python=state.python, numpy=numpy_state)
    return Snapshot(tensors, facts)


def restore(learner: Learner, progress: Progress, snapshot: Snapshot) -> None:
    """Put back what `capture` took, the state of random numbers into `progress` alone.

    SettingsError where it is of a model of other parts.
    """
    try:
        _restore(learner, progress, snapshot)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise SettingsError(
            f"the checkpoint does not fit this model ({first_line(error)}): another version of the job may have "
            "written it; give this run another run_id"
        ) from error


def _restore(learner: Learner, progress: Progress, snapshot: Snapshot) -> None:
    tensors, facts = snapshot.tensors, dict[str, Any](snapshot.facts)
    progress.trained.__dict__.update(facts["trained"], work=Work(*facts["trained"].get("work", ())))
    progress.best = _under("best/", tensors)
    # Those that are not there a second time are the best.
    progress.ranked = [
        (figure, _under(f"ranked/{place}/", tensors) or progress.best) for place, figure in enumerate(facts["ranked"])
    ]
    for name in _COUNTED:
        setattr(progress, name, facts[name])
    if "schedule" in facts:
        load_weights(learner.model, _under("model/", tensors))
        _set_moments(learner.optimizer, _under("optimizer/", tensors), facts["rates"])
        learner.schedule.load_state_dict(facts["schedule"])
        if learner.mean:
            learner.mean.restore(_under("mean/", tensors), facts["mean_steps"])
    progress.random = _random_of(tensors, facts["random"])


def _random_of(tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> RandomState:
    numpy = facts["numpy"]
    key = np.array(numpy["state"]["key"], dtype=np.uint32)
    version, numbers, gauss = facts["python"]
    devices = _under("random/devices/", tensors)
    return RandomState(
        tensors["random/processor"],
        tuple(devices[str(index)] for index in range(len(devices))),
        {**numpy, "state": {**numpy["state"], "key": key}},
        (version, tuple(numbers), gauss),
    )


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Weights:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _moments(optimizer: torch.optim.Optimizer) -> Weights:
    """The running means of each weight that has learned, by its number in the optimizer."""
    state: dict[int, dict[str, torch.Tensor | int]] = optimizer.state_dict()["state"]
    # Optimizers in eight bits count their steps in plain numbers.
    return {
        f"optimizer/{number}/{name}": torch.tensor(held) if isinstance(held, int) else _copy(held)
        for number, of in state.items()
        for name, held in of.items()
    }


def _set_moments(optimizer: torch.optim.Optimizer, moments: Weights, rates: list[float]) -> None:
    state: dict[int, dict[str, torch.Tensor | int]] = {}
    learning = [weight for group in optimizer.param_groups for weight in group["params"]]
    for place, tensor in moments.items():
        number, _, name = place.partition("/")
        is_count = tensor.ndim == 0 and tensor.dtype == torch.int64
        own = int(tensor) if is_count else shared_like(tensor, learning[int(number)])
        state.setdefault(int(number), {})[name] = own
    groups = optimizer.state_dict()["param_groups"]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    optimizer.load_state_dict({"state": state, "param_groups": groups})
