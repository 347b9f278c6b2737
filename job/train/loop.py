"""The training loop, in the open: batch, loss, backward, clip, step; validate after each epoch, keep the best."""

import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader, Dataset

from tunewright.job import signals
from tunewright.job.batches.by_length import LengthGroupedBatches, Share
from tunewright.job.batches.sample import Sample
from tunewright.job.batches.side import Batch, Renewed, Rows
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.errors import BaseModelError, Interrupted, SettingsError, TrainingFailed
from tunewright.job.model.layers import merge_adapters, parameter_groups, unfreeze
from tunewright.job.progress import bar, say
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.averaging import RunningMean
from tunewright.job.train.course import Course
from tunewright.job.train.distributed import World, world
from tunewright.job.train.faults.memory import TooLarge, halve
from tunewright.job.train.faults.not_finite import CALMER, Fault, leave_out
from tunewright.job.train.layer_drop import layers_dropped
from tunewright.job.train.objective import Objective, Scored
from tunewright.job.train.regularised import BatchLoss, batch_loss, shrink
from tunewright.job.train.state import (
    Learner,
    Progress,
    Trained,
    capture,
    changing_weights,
    load_weights,
    random_state,
    restore,
    set_random_state,
)
from tunewright.serving.runtime.runs import plan_runs

TOKENS_AT_ONCE = {"cpu": 1024, "cuda": 16_384}
"""Padded tokens that go through the model at a time in training, by device: what is held for the way back grows with
them, and on a processor more are slower. A step still learns from all its rows at once."""
_GAUGED = 500
"""Training rows that are measured beside those of validation, at most."""


class _Numbers(Dataset[int]):
    """Row numbers; the rows themselves are read when a batch is put together."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> int:
        return index


class _Collate:
    """Row numbers to a batch, with its targets and the row numbers."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __call__(self, rows: list[int]) -> Batch:
        if not rows:
            # Nothing is left of a step for this process, which takes part all the same: with any row, of no weight.
            return {**self._rows.batch([0]), "rows": torch.tensor(rows)}
        return {"rows": torch.tensor(rows), **self._rows.batch(rows)}


@dataclass(frozen=True)
class _Loop:
    """Everything one epoch needs, prepared for the device."""

    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    loader: Iterable[Batch]
    batches: LengthGroupedBatches
    rows: Rows
    objective: Objective
    settings: TrainSettings
    bf16: bool
    loss: BatchLoss
    mean: RunningMean | None
    world: World

    @property
    def learner(self) -> Learner:
        """What changes at each step."""
        return Learner(self.model, self.optimizer, self.schedule, self.mean)


class _PartLoss(nn.Module):
    """The summed loss of a part of a step, as the module that several processes share."""

    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self.model, self._loop = loop.model, loop

    def forward(self, part: Batch, targets: torch.Tensor, weight: float) -> torch.Tensor:
        """Of the inputs of some rows and their targets; 0 where they weigh nothing."""
        answer = partial(_forward, self._loop, part)
        return self._loop.loss(answer, targets) * weight if weight else answer().sum() * 0.0


def train(
    model: nn.Module,
    sides: tuple[Rows, Rows],
    objective: Objective,
    settings: TrainSettings,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Fine-tune `model` in place on the first side; it ends with the weights that did best on the second, or with the
    last ones where that has no rows. With `checkpoints` it goes on from the newest one, and leaves others."""
    loop = _prepare(model, sides[0], objective, settings)
    progress = Progress(Trained("bf16" if loop.bf16 else "fp32", str(loop.accelerator.device)))
    course = Course(objective, settings, progress, lambda: _figures(loop, sides), lambda: changing_weights(model))
    with checkpoints or nullcontext(), signals.held(), layers_dropped(model, settings.layer_drop):
        if snapshot := loop.world.same_snapshot(checkpoints.newest() if checkpoints else None):
            restore(loop.learner, progress, snapshot)
            set_random_state(progress.random)
        try:
            _all_epochs(loop, course, checkpoints)
        except (Interrupted, KeyboardInterrupt):
            # Raised by a check between two parts of a step, so that all is as the last step left it.
            if checkpoints and signals.is_asked():
                checkpoints.save(partial(capture, loop.learner, progress))
                place = f"epoch {progress.epoch}, {progress.step} steps"
                say("checkpoint", f"kept: {place}; the same command goes on there")
            raise
        except TrainingFailed as error:
            if checkpoints and (last := checkpoints.last()):
                raise TrainingFailed(f"{error}. The last checkpoint before it is {last}") from error
            raise
    course.finish(lambda weights: load_weights(model, weights))
    model.cpu()
    merge_adapters(model)
    model.eval()
    return progress.trained


def _all_epochs(loop: _Loop, course: Course, checkpoints: Checkpoints | None) -> None:
    """What is left of them."""
    progress, shared = course.progress, None
    while not course.is_over:
        epoch = progress.epoch
        unfreeze(loop.model, loop.settings, epoch)
        if shared is None or loop.settings.unfreeze:
            shared = loop.world.spread(_PartLoss(loop))
        if not _epoch_fits(loop, shared, course, checkpoints):
            continue
        progress.trained.rows_per_second = len(loop.rows) * epoch / progress.trained.seconds
        if not course.is_over:
            _look(loop, course, {"epoch": epoch, "loss": progress.mean_loss})
        progress.epoch += 1
        progress.step, progress.loss, progress.weight, progress.random = 0, 0.0, 0.0, random_state()
        if checkpoints:
            checkpoints.save(partial(capture, loop.learner, progress, is_over=course.is_over))


def _look(loop: _Loop, course: Course, place: dict[str, float]) -> None:
    """Measure the weights that would be kept: those of the last step, or their running mean."""
    with loop.mean.put_in() if loop.mean else nullcontext():
        course.look(place)


def _figures(loop: _Loop, sides: tuple[Rows, Rows]) -> dict[str, float]:
    """Figures of validation, and the one that decides of as many training rows."""
    train, validation = sides
    if not len(validation):
        return {}
    figures = _measured(loop, validation)
    if loop.objective.gauged:
        some = Sample(train, min(len(validation), _GAUGED))
        metric = loop.objective.metric
        figures[f"train_{metric}"] = _measured(loop, some)[metric]
    return figures


def _measured(loop: _Loop, side: Rows) -> dict[str, float]:
    """Figures of a side: the first process finds them from what all have scored."""
    scored, figures = _scored(loop, side), {}
    if loop.world.is_first:
        figures = loop.objective.measure(scored)
    # The others get nothing, and yet do their share of the scoring by asking.
    for _ in scored:
        pass
    return loop.world.same(figures)


def _prepare(model: nn.Module, rows: Rows, objective: Objective, settings: TrainSettings) -> _Loop:
    set_seed(settings.seed)
    # Mixed precision is in `_forward`, in one line: accelerate would wrap the model's forward, and export that too.
    accelerator = Accelerator(mixed_precision="no")
    batches = LengthGroupedBatches(
        rows.lengths,
        settings.batch_size,
        settings.seed,
        accumulation=settings.accumulation,
        room=TOKENS_AT_ONCE.get(accelerator.device.type) if objective.divisible else None,
        share=_share(objective, settings),
    )
    loader = DataLoader(_Numbers(len(rows)), batch_sampler=batches, collate_fn=_Collate(rows))
    optimizer = torch.optim.AdamW(parameter_groups(model, settings), fused=True)
    steps = settings.epochs * math.ceil(len(batches) / settings.accumulation)
    schedule = LambdaLR(optimizer, learning_rate(settings.schedule, round(steps * settings.warmup), steps))
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    bf16 = use_bf16(settings.precision)
    loss = batch_loss(model, objective, settings)
    mean = RunningMean(model, settings.ema) if settings.ema else None
    given = rows, objective, settings, bf16, loss, mean, world()
    return _Loop(accelerator, model, optimizer, schedule, loader, batches, *given)


def _share(objective: Objective, settings: TrainSettings) -> Share:
    """What this process takes of a step."""
    others = world()
    if not objective.is_mean and others.size > settings.accumulation:
        raise SettingsError(
            f"WORLD_SIZE is {others.size}, but this job compares all rows of a batch, so that processes share the "
            f"batches of a step, and train.accumulation is {settings.accumulation}: start fewer, or raise it"
        )
    return Share(others.rank, others.size, whole=not objective.is_mean)


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


def _epoch_fits(loop: _Loop, shared: nn.Module, course: Course, checkpoints: Checkpoints | None) -> bool:
    """Make what is left of an epoch; False where a step did not fit the memory, and is to be made in smaller parts."""
    with suppress(TooLarge):
        _one_epoch(loop, shared, course, checkpoints)
        return True
    # Out here nothing holds what was computed.
    loop.optimizer.zero_grad()
    halve(loop.batches, course.progress)
    return False


def _one_epoch(loop: _Loop, shared: nn.Module, course: Course, checkpoints: Checkpoints | None) -> None:
    """What is left of the steps of an epoch, unless a measurement between them ends the run."""
    progress = course.progress
    loop.model.train()
    loop.batches.epoch, loop.batches.done = progress.epoch, progress.step
    loop.batches.halvings = progress.halvings
    if isinstance(loop.rows, Renewed):
        loop.rows.renew(progress.epoch)
    steps, loaded = loop.batches.steps(), iter(loop.loader)
    is_resumed = progress.step > 0
    with bar("train", len(steps)) as advance:
        advance(progress.step)
        for step in steps[progress.step :]:
            _look_between(loop, course)
            if course.is_over:
                break
            started = time.perf_counter()
            parts = [next(loaded) for _ in step]
            if is_resumed:
                # The loader draws a number as it begins, which the interrupted run had drawn before.
                set_random_state(progress.random)
                is_resumed = False
            loop.world.seed(loop.settings.seed, progress.epoch, progress.step)
            _one_step(loop, shared, parts, progress)
            progress.trained.seconds += time.perf_counter() - started
            advance(1, epoch=progress.epoch, loss=progress.mean_loss)
            if checkpoints and checkpoints.is_due(progress.step):
                checkpoints.save(partial(capture, loop.learner, progress))


def _look_between(loop: _Loop, course: Course) -> None:
    """Measure where so many steps are done; once, also where the run was stopped meanwhile."""
    progress, often = course.progress, loop.settings.evaluate
    if not often or not progress.step or progress.step % often:
        return
    place = {"epoch": progress.epoch, "step": progress.step}
    last = progress.trained.history[-1] if progress.trained.history else {}
    if (last.get("epoch"), last.get("step")) != (progress.epoch, progress.step):
        _look(loop, course, {**place, "loss": progress.mean_loss})
        loop.model.train()
        progress.random = random_state()


def _one_step(loop: _Loop, shared: nn.Module, parts: list[Batch], progress: Progress) -> None:
    """One step of the optimizer over all rows of its parts, the gradient that of their mean.

    Each part counts by what its loss is a mean over, however the rows of a step are dealt: a batch of few words is not
    worth as much as one of many. Of several processes each has its parts, and the mean of their gradients is taken.
    """
    weights = [float(loop.objective.weight(part["targets"])) if len(part["rows"]) else 0.0 for part in parts]
    whole = loop.world.agree(sum(weights))
    found = _gradient(loop, shared, parts, weights, whole or 1.0)
    if isinstance(found, Fault):
        leave_out(found, progress, loop.settings.on_non_finite)
    else:
        _update(loop)
        progress.in_a_row = 0
        progress.loss += found
        progress.weight += whole
    loop.optimizer.zero_grad()
    progress.step += 1
    progress.random = random_state()


def _gradient(loop: _Loop, shared: nn.Module, parts: list[Batch], weights: list[float], whole: float) -> float | Fault:
    """The gradient of the mean loss, clipped; the summed loss, or what of it is not finite, for all processes alike."""
    summed, rows = torch.zeros((), device=loop.accelerator.device), [part.pop("rows").tolist() for part in parts]
    fault, alone = None, loop.world.size == 1
    for number, (part, weight) in enumerate(zip(parts, weights, strict=True)):
        loop.world.check()
        is_last = not alone and number == len(parts) - 1
        if not weight and not is_last:
            continue
        try:
            with loop.world.exchanging(shared, is_last=is_last):
                loss = shared(part, part.pop("targets"), weight)
                if not math.isfinite(value := float(loss.detach())):
                    fault = fault or Fault("loss", value, rows[number])
                    # The others learn it from the sum.
                    if alone or loop.settings.on_non_finite == "stop":
                        return fault
                loop.accelerator.backward(loss / (whole / loop.world.size))
        except torch.OutOfMemoryError as error:
            if not alone:
                raise
            raise TooLarge from error
        summed += loss.detach()
    if not math.isfinite(total := loop.world.total(float(summed))):
        return fault or Fault("loss", total, list(chain(*rows)))
    norm = float(loop.accelerator.clip_grad_norm_(loop.model.parameters(), loop.settings.clip))
    return total if math.isfinite(norm) else Fault("gradient", norm, list(chain(*rows)))


def _update(loop: _Loop) -> None:
    """Change the weights by the gradient."""
    loop.optimizer.step()
    if loop.settings.l1:
        shrink(loop.optimizer, loop.settings.l1)
    loop.schedule.step()
    if loop.mean:
        loop.mean.update()


def _forward(loop: _Loop, batch: Batch) -> torch.Tensor:
    """Logits `[B, ...]` in the unit of the targets, float32."""
    offset, factor = loop.objective.scale
    device = loop.accelerator.device.type
    with _attention(device, training=loop.model.training), torch.autocast(device, torch.bfloat16, enabled=loop.bf16):
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


def _attention(device: str, *, training: bool) -> AbstractContextManager[None]:
    """On a processor attention is learned in its plain form: without dropout torch would take a fused one, whose way
    back is more than twice as slow there."""
    return sdpa_kernel(SDPBackend.MATH) if training and device == "cpu" else nullcontext()


def _scored(loop: _Loop, side: Rows) -> Scored:
    """All batches of a side with their logits."""
    loop.model.eval()
    runs = list(plan_runs(side.lengths.tolist(), loop.objective.validation_tokens))
    return loop.world.dealt(runs, partial(_answered, loop, _Collate(side)))


@torch.no_grad()
def _answered(loop: _Loop, collate: _Collate, rows: list[int]) -> tuple[list[int], Batch, torch.Tensor]:
    loop.world.check()
    batch = {name: tensor.to(loop.accelerator.device) for name, tensor in collate(rows).items()}
    del batch["rows"]
    targets = batch.pop("targets")
    logits = _forward(loop, batch)
    if not torch.isfinite(logits).all():
        raise TrainingFailed(f"the model answers a validation row with a number that is not finite; {CALMER}")
    batch["targets"] = targets
    if loop.world.size > 1:
        batch, logits = {name: tensor.cpu() for name, tensor in batch.items()}, logits.cpu()
    return rows, batch, logits


def use_bf16(precision: str) -> bool:
    """Whether the forward pass runs in bf16: as asked, or where the hardware multiplies in it."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
