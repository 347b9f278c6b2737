"""All that an epoch needs, prepared for the device: optimizer, schedule, what deals the rows of a step, the loss."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader

from tunewright.job.batches.by_length import LengthGroupedBatches, Share
from tunewright.job.batches.side import Batch, Rows
from tunewright.job.errors import BaseModelError, SettingsError
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.averaging import RunningMean
from tunewright.job.train.cost.work import WorkCounter
from tunewright.job.train.device.gradients import Gradients
from tunewright.job.train.device.layers import attention
from tunewright.job.train.device.losses_read import LossReader
from tunewright.job.train.device.optimizer import make_optimizer
from tunewright.job.train.device.precision import Precision, choose_precision
from tunewright.job.train.device.shards import is_in_shards
from tunewright.job.train.distributed import World, world
from tunewright.job.train.objective import Objective
from tunewright.job.train.regularised import BatchLoss, batch_loss
from tunewright.job.train.state import Learner
from tunewright.job.train.step.parts import Collate, Numbers, Part

TOKENS_AT_ONCE = {"cpu": 1024, "cuda": 16_384}
"""Padded tokens that go through the model at a time in training, by device: what is held for the way back grows with
them, and on a processor more are slower. A step still learns from all its rows at once."""


@dataclass(frozen=True)
class Loop:
    """Everything one epoch needs, prepared for the device."""

    accelerator: Accelerator
    model: nn.Module
    gradients: Gradients
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    loader: Iterable[Part]
    batches: LengthGroupedBatches
    rows: Rows
    objective: Objective
    settings: TrainSettings
    precision: Precision
    losses: LossReader
    loss: BatchLoss
    mean: RunningMean | None
    world: World

    @property
    def learner(self) -> Learner:
        """What changes at each step."""
        return Learner(self.model, self.optimizer, self.schedule, self.mean)

    @property
    def in_shards(self) -> bool:
        """Whether processes meet at each pass through the model, as each holds a share of its weights."""
        return is_in_shards(self.model)


class PartLoss(nn.Module):
    """The summed loss of a part of a step, as the module that several processes share."""

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.model, self._loop = loop.model, loop

    def forward(self, part: Batch, targets: torch.Tensor, weight: float) -> torch.Tensor:
        """Of the inputs of some rows and their targets; 0 where they weigh nothing."""
        answer = partial(forward, self._loop, part)
        if weight:
            return self._loop.loss(answer, targets) * weight
        # As often as others, whom it meets at each pass where the weights are in shards.
        return torch.stack([answer().sum() for _ in range(passes(self._loop.settings))]).sum() * 0.0


def prepare(model: nn.Module, rows: Rows, objective: Objective, settings: TrainSettings) -> Loop:
    """What an epoch over these rows needs, all random numbers begun anew from the seed."""
    set_seed(settings.seed)
    # Mixed precision is in `forward`, in one line: accelerate would wrap the model's forward, and export that too.
    accelerator = Accelerator(mixed_precision="no", dataloader_config=DataLoaderConfiguration(non_blocking=True))
    device = accelerator.device.type
    precision = choose_precision(settings.precision, device)
    batches = LengthGroupedBatches(
        rows.lengths,
        settings.batch_size,
        settings.seed,
        accumulation=settings.accumulation,
        room=_room(objective, settings, device),
        share=_share(objective, settings),
    )
    # From pinned memory a GPU fetches the next batch while it computes.
    numbers, collate = (
        Numbers(len(rows)),
        Collate(rows, objective, WorkCounter(model, passes=passes(settings))),
    )
    loader = DataLoader(numbers, batch_sampler=batches, collate_fn=collate, pin_memory=device == "cuda")
    optimizer = make_optimizer(model, settings)
    steps = settings.epochs * math.ceil(len(batches) / settings.accumulation)
    schedule = LambdaLR(optimizer, learning_rate(settings.schedule, round(steps * settings.warmup), steps))
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    others = world()
    losses = LossReader(device, settings.on_non_finite, others)
    loss = batch_loss(model, objective, settings)
    mean = RunningMean(model, settings.ema) if settings.ema else None
    given = rows, objective, settings, precision, losses, loss, mean, others
    gradients = Gradients(model, optimizer, device, others)
    return Loop(accelerator, model, gradients, optimizer, schedule, loader, batches, *given)


def passes(settings: TrainSettings) -> int:
    """How often a part of a step goes through the model."""
    return 2 if settings.r_drop else 1


def _share(objective: Objective, settings: TrainSettings) -> Share:
    """What this process takes of a step."""
    others = world()
    if not objective.is_mean and others.size > settings.accumulation:
        raise SettingsError(
            f"WORLD_SIZE is {others.size}, but this job compares all rows of a batch, so that processes share the "
            f"batches of a step, and train.accumulation is {settings.accumulation}: start fewer, or raise it"
        )
    alike = settings.parallel == "fsdp" and others.size > 1
    return Share(others.rank, others.size, whole=not objective.is_mean, alike=alike)


def _room(objective: Objective, settings: TrainSettings, device: str) -> int | None:
    """Padded tokens that go through the model at a time; None where a batch is not to be divided."""
    room = settings.max_tokens or TOKENS_AT_ONCE.get(device)
    if not objective.divisible or room is None:
        return None
    return min(room, objective.learned_tokens or room)


def learning_rate(kind: str, warmup: int, steps: int) -> Callable[[int], float]:
    """The share of the learning rate at each step: up in a line, then as asked for.

    These are transformers' schedules; the module that has them imports peft and bitsandbytes, which takes seconds.
    """

    def share(step: int) -> float:
        if step < warmup:
            return step / warmup
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}[kind]

    return share


def forward(loop: Loop, batch: Batch) -> torch.Tensor:
    """Logits `[B, ...]` in the unit of the targets, float32."""
    offset, factor = loop.objective.scale
    device = loop.accelerator.device.type
    with attention(device, training=loop.model.training), loop.precision.forward():
        try:
            logits = loop.objective.forward(loop.model, batch)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            # Another try may help where a device or the memory has failed.
            if isinstance(error, RuntimeError) and (device != "cpu" or "memory" in str(error)):
                raise
            reason = str(error).strip().partition("\n")[0]
            raise BaseModelError(
                f"the base model cannot compute a batch of the data ({type(error).__name__}: {reason}); "
                "check its config.json, or choose another base model"
            ) from error
    return logits.float() if (offset, factor) == (0.0, 1.0) else logits.float() * factor + offset
