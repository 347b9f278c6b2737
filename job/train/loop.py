"""The training loop, in the open: batch, loss, backward, clip, step; validate after each epoch, keep the best."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader, Dataset

from tunewright.job import signals
from tunewright.job.batches.by_length import LengthGroupedBatches, Share
from tunewright.job.batches.sample import Sample
from tunewright.job.batches.side import Batch, Renewed, Rows
from tunewright.job.checkpoints.files import Snapshot
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.errors import BaseModelError, Interrupted, SettingsError, TrainingFailed
from tunewright.job.model.layers import merge_adapters, unfreeze
from tunewright.job.progress.events import bar, say
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.averaging import RunningMean
from tunewright.job.train.cost.probe import Probed, Rehearsal
from tunewright.job.train.cost.work import Work, WorkCounter
from tunewright.job.train.course import Course
from tunewright.job.train.device.attention import masks_unseen, texts_apart
from tunewright.job.train.device.fake_int8 import int8_imitated
from tunewright.job.train.device.gradients import Gradients
from tunewright.job.train.device.layers import attention, layers_prepared
from tunewright.job.train.device.losses_read import LossReader
from tunewright.job.train.device.memory import memory_kept
from tunewright.job.train.device.optimizer import make_optimizer
from tunewright.job.train.device.precision import Precision, choose_precision
from tunewright.job.train.device.shards import (
    AnyCheckpoints,
    checkpoints_of,
    in_shards,
    is_in_shards,
    put_together,
)
from tunewright.job.train.distributed import World, world
from tunewright.job.train.faults.memory import TooLarge, halve
from tunewright.job.train.faults.not_finite import CALMER, Fault, leave_out
from tunewright.job.train.layer_drop import layers_dropped
from tunewright.job.train.next_token import places
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
GAUGED = 500
"""Training rows that are measured beside those of validation, at most."""


class _Numbers(Dataset[int]):
    """Row numbers; the rows themselves are read when a batch is put together."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> int:
        return index


class _Part(NamedTuple):
    """Rows that go through the model together."""

    batch: Batch
    """With the targets; on the device."""
    rows: list[int]
    weight: float
    """What the mean of their loss is a mean over."""
    work: Work = Work()
    """What they cost."""


class _Collate:
    """Row numbers to a part of a step. All that is asked of it is found before it is on a GPU, which asking stops."""

    def __init__(self, rows: Rows, objective: Objective, count: WorkCounter) -> None:
        self._rows, self._objective, self._count = rows, objective, count

    def __call__(self, rows: list[int]) -> _Part:
        # Where nothing is left of a step for this process, it takes part all the same: with any row, of no weight.
        batch = self._rows.batch(rows or [0])
        # Rows that were drawn say which ones they are.
        drawn = batch.pop("rows", torch.tensor(rows)).tolist()
        if "learned" in batch:
            batch["learned"] = places(batch["learned"])
        if not rows:
            return _Part(batch, [], 0.0)
        work = self._count(batch, int(self._rows.lengths[rows].sum()), len(rows))
        return _Part(batch, drawn, float(self._objective.weight(batch["targets"])), work)


@dataclass(frozen=True)
class _Loop:
    """Everything one epoch needs, prepared for the device."""

    accelerator: Accelerator
    model: nn.Module
    gradients: Gradients
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    loader: Iterable[_Part]
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


class _PartLoss(nn.Module):
    """The summed loss of a part of a step, as the module that several processes share."""

    def __init__(self, loop: _Loop) -> None:
        super().__init__()
        self.model, self._loop = loop.model, loop

    def forward(self, part: Batch, targets: torch.Tensor, weight: float) -> torch.Tensor:
        """Of the inputs of some rows and their targets; 0 where they weigh nothing."""
        answer = partial(_forward, self._loop, part)
        if weight:
            return self._loop.loss(answer, targets) * weight
        # As often as others, whom it meets at each pass where the weights are in shards.
        return torch.stack([answer().sum() for _ in range(_passes(self._loop.settings))]).sum() * 0.0


def train(
    model: nn.Module,
    sides: tuple[Rows, Rows],
    objective: Objective,
    settings: TrainSettings,
    checkpoints: Checkpoints | None = None,
    *,
    halvings: int = 0,
) -> Trained:
    """Fine-tune `model` in place on the first side; it ends with the weights that did best on the second, or with the
    last ones where that has no rows. With `checkpoints` it goes on from the newest one, and leaves others. `halvings`:
    how often the tokens that go through the model at a time are halved from the beginning."""
    plain, model = model, in_shards(model, settings)
    loop, kept = _prepare(model, sides[0], objective, settings), checkpoints_of(model, checkpoints)
    progress = Progress(Trained(loop.precision.name, str(loop.accelerator.device)))
    course = Course(objective, settings, progress, lambda: _figures(loop, sides), lambda: changing_weights(model))
    progress.halvings = loop.world.same(halvings)
    with kept or nullcontext(), signals.held(), _learning(loop, sides):
        if snapshot := loop.world.same_snapshot(kept.newest() if kept else None):
            restore(loop.learner, progress, snapshot)
            set_random_state(progress.random)
        try:
            _all_epochs(loop, course, kept)
        except (Interrupted, KeyboardInterrupt):
            # Raised by a check between two parts of a step, so that all is as the last step left it.
            if kept and signals.is_asked():
                kept.save(partial(_captured, loop, progress))
                place = f"epoch {progress.epoch}, {progress.step} steps"
                say("checkpoint", f"kept: {place}; the same command goes on there")
            raise
        except TrainingFailed as error:
            if kept and (last := kept.last()):
                raise TrainingFailed(f"{error}. The last checkpoint before it is {last}") from error
            raise
    progress.trained.work = progress.trained.work.summed(loop.world.total)
    if pace := progress.trained.pace:
        say("train", pace.text, **asdict(pace))
    course.finish(lambda weights: load_weights(model, weights))
    model = put_together(plain, model)
    model.cpu()
    merge_adapters(model)
    model.eval()
    return progress.trained


@contextmanager
def _learning(loop: _Loop, sides: tuple[Rows, Rows]) -> Iterator[None]:
    """What stands around all of training, and is as it was afterwards."""
    model, device, settings = loop.model, loop.precision.device, loop.settings
    with (
        loop.precision.training(),
        loop.gradients.held_by_row(),
        memory_kept(device),
        masks_unseen(device),
        texts_apart(model, sides, loop.precision.name, device),
        int8_imitated(model, settings.quantization_aware is True),
        layers_prepared(model, settings, device, settings.epochs * len(loop.batches)),
        layers_dropped(model, settings.layer_drop),
    ):
        yield


def rehearse(
    model: nn.Module, sides: tuple[Rows, Rows], objective: Objective, settings: TrainSettings, halvings: int = 0
) -> Probed:
    """Measure what `train` would take by a few parts of its steps, of which nothing is learned."""
    loop = _prepare(model, sides[0], objective, settings.model_copy(update={"compile": False}))
    loop.batches.epoch, loop.batches.halvings = 1, halvings
    collate, device = _Collate(sides[0], objective, WorkCounter(model)), loop.accelerator.device
    shared, buffers = _PartLoss(loop), {name: buffer.clone() for name, buffer in model.named_buffers()}

    def learn(rows: list[int]) -> None:
        model.train()
        batch, _, weight, _ = collate(rows)
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        # A loss of nothing has no gradient.
        shared(batch, batch.pop("targets"), weight or 1.0).backward()
        loop.gradients.gather()

    def answer(rows: list[int]) -> None:
        model.eval()
        _answered(loop, sides[1], rows)

    tried = Rehearsal(loop.batches, sides[1], objective.validation_tokens, learn, answer, loop.optimizer, device.type)
    try:
        with _learning(loop, sides):
            return tried.probe(settings.accumulation)
    finally:
        loop.gradients.clear()
        # Running means of a normalization are no weights, and yet learned.
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])


def _all_epochs(loop: _Loop, course: Course, checkpoints: AnyCheckpoints) -> None:
    """What is left of them."""
    progress, shared = course.progress, None
    while not course.is_over:
        epoch = progress.epoch
        unfreeze(loop.model, loop.settings, epoch)
        if shared is None or loop.settings.unfreeze:
            shared = loop.world.spread(_PartLoss(loop), in_shards=loop.in_shards)
        if not _epoch_fits(loop, shared, course, checkpoints):
            continue
        if not course.is_over:
            _look(loop, course, {"epoch": epoch, "loss": progress.mean_loss})
        progress.epoch += 1
        progress.step, progress.loss, progress.weight, progress.random = 0, 0.0, 0.0, random_state()
        if checkpoints:
            checkpoints.save(partial(_captured, loop, progress, is_over=course.is_over))


def _captured(loop: _Loop, progress: Progress, *, is_over: bool = False) -> Snapshot:
    """The state between two steps, all losses read: of weights that are not finite there is no checkpoint."""
    loop.losses.settle(progress)
    return capture(loop.learner, progress, is_over=is_over)


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
        some = Sample(train, min(len(validation), GAUGED))
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
        _Numbers(len(rows)),
        _Collate(rows, objective, WorkCounter(model, passes=_passes(settings))),
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
    return _Loop(accelerator, model, gradients, optimizer, schedule, loader, batches, *given)


def _passes(settings: TrainSettings) -> int:
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


def _epoch_fits(loop: _Loop, shared: nn.Module, course: Course, checkpoints: AnyCheckpoints) -> bool:
    """Make what is left of an epoch; False where a step did not fit the memory, and is to be made in smaller parts."""
    with suppress(TooLarge):
        _one_epoch(loop, shared, course, checkpoints)
        return True
    # Out here nothing holds what was computed.
    loop.gradients.clear()
    halve(loop.batches, course.progress)
    return False


def _one_epoch(loop: _Loop, shared: nn.Module, course: Course, checkpoints: AnyCheckpoints) -> None:
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
            with progress.trained.timed():
                parts = [next(loaded) for _ in step]
                if is_resumed:
                    # The loader draws a number as it begins, which the interrupted run had drawn before.
                    set_random_state(progress.random)
                    is_resumed = False
                loop.world.seed(loop.settings.seed, progress.epoch, progress.step)
                _one_step(loop, shared, parts, progress)
            for part in parts:
                progress.trained.work = progress.trained.work.plus(part.work)
            # On a GPU the first losses are not read yet.
            known = {"loss": progress.mean_loss} if progress.weight else {}
            advance(1, epoch=progress.epoch, **known)
            if checkpoints and checkpoints.is_due(progress.step):
                checkpoints.save(partial(_captured, loop, progress))
        with progress.trained.timed():
            loop.losses.settle(progress)


def _look_between(loop: _Loop, course: Course) -> None:
    """Measure where so many steps are done; once, also where the run was stopped meanwhile."""
    progress, often = course.progress, loop.settings.evaluate
    if not often or not progress.step or progress.step % often:
        return
    place = {"epoch": progress.epoch, "step": progress.step}
    last = progress.trained.history[-1] if progress.trained.history else {}
    if (last.get("epoch"), last.get("step")) != (progress.epoch, progress.step):
        loop.losses.settle(progress)
        _look(loop, course, {**place, "loss": progress.mean_loss})
        loop.model.train()
        progress.random = random_state()


def _one_step(loop: _Loop, shared: nn.Module, parts: list[_Part], progress: Progress) -> None:
    """One step of the optimizer over all rows of its parts, the gradient that of their mean.

    Each part counts by what its loss is a mean over, however the rows of a step are dealt: a batch of few words is not
    worth as much as one of many. Of several processes each has its parts, and the mean of their gradients is taken.
    """
    whole = loop.world.agree(sum(part.weight for part in parts))
    fault = _gradient(loop, shared, parts, whole or 1.0, progress)
    if fault:
        leave_out(fault, progress, loop.settings.on_non_finite)
    else:
        _update(loop)
        progress.in_a_row = 0
        loop.losses.end(whole, progress)
    loop.gradients.clear()
    progress.step += 1
    progress.random = random_state()


def _gradient(loop: _Loop, shared: nn.Module, parts: list[_Part], whole: float, progress: Progress) -> Fault | None:
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


def _scored(loop: _Loop, side: Rows) -> Scored:
    """All batches of a side with their logits."""
    loop.model.eval()
    runs = list(plan_runs(side.lengths.tolist(), loop.objective.validation_tokens))
    return loop.world.dealt(runs, partial(_answered, loop, side), together=loop.in_shards)


@torch.no_grad()
def _answered(loop: _Loop, side: Rows, rows: list[int]) -> tuple[list[int], Batch, torch.Tensor]:
    loop.world.check()
    batch = {name: tensor.to(loop.accelerator.device) for name, tensor in side.batch(rows).items()}
    targets = batch.pop("targets")
    logits = _forward(loop, batch)
    if not torch.isfinite(logits).all():
        raise TrainingFailed(f"the model answers a validation row with a number that is not finite; {CALMER}")
    batch["targets"] = targets
    if loop.world.size > 1:
        batch, logits = {name: tensor.cpu() for name, tensor in batch.items()}, logits.cpu()
    return rows, batch, logits
