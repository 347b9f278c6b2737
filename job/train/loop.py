"""The training loop, in the open: batch, loss, backward, clip, step; validate after each epoch, keep the best."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from functools import partial

from torch import nn

from tunewright.job import signals
from tunewright.job.batches.side import Renewed, Rows
from tunewright.job.checkpoints.files import Snapshot
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.errors import Interrupted, TrainingFailed
from tunewright.job.model.layers import merge_adapters, unfreeze
from tunewright.job.progress.events import bar, say
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.cost.probe import Probed, Rehearsal
from tunewright.job.train.cost.work import WorkCounter
from tunewright.job.train.course import Course
from tunewright.job.train.device.attention import masks_unseen, texts_apart
from tunewright.job.train.device.fake_int8 import int8_imitated
from tunewright.job.train.device.layers import layers_prepared
from tunewright.job.train.device.memory import memory_kept
from tunewright.job.train.device.shards import AnyCheckpoints, checkpoints_of, in_shards, put_together
from tunewright.job.train.faults.memory import TooLarge, halve
from tunewright.job.train.layer_drop import layers_dropped
from tunewright.job.train.objective import Objective
from tunewright.job.train.state import (
    Progress,
    Trained,
    capture,
    changing_weights,
    load_weights,
    random_state,
    restore,
    set_random_state,
)
from tunewright.job.train.step.answers import answered, figures
from tunewright.job.train.step.gradient import one_step
from tunewright.job.train.step.parts import Collate
from tunewright.job.train.step.prepared import Loop, PartLoss, prepare


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
    loop, kept = prepare(model, sides[0], objective, settings), checkpoints_of(model, checkpoints)
    progress = Progress(Trained(loop.precision.name, str(loop.accelerator.device)))
    course = Course(objective, settings, progress, lambda: figures(loop, sides), lambda: changing_weights(model))
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
def _learning(loop: Loop, sides: tuple[Rows, Rows]) -> Iterator[None]:
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
    loop = prepare(model, sides[0], objective, settings.model_copy(update={"compile": False}))
    loop.batches.epoch, loop.batches.halvings = 1, halvings
    collate, device = Collate(sides[0], objective, WorkCounter(model)), loop.accelerator.device
    shared, buffers = PartLoss(loop), {name: buffer.clone() for name, buffer in model.named_buffers()}

    def learn(rows: list[int]) -> None:
        model.train()
        batch, _, weight, _ = collate(rows)
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        # A loss of nothing has no gradient.
        shared(batch, batch.pop("targets"), weight or 1.0).backward()
        loop.gradients.gather()

    def answer(rows: list[int]) -> None:
        model.eval()
        answered(loop, sides[1], rows)

    tried = Rehearsal(loop.batches, sides[1], objective.validation_tokens, learn, answer, loop.optimizer, device.type)
    try:
        with _learning(loop, sides):
            return tried.probe(settings.accumulation)
    finally:
        loop.gradients.clear()
        # Running means of a normalization are no weights, and yet learned.
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])


def _all_epochs(loop: Loop, course: Course, checkpoints: AnyCheckpoints) -> None:
    """What is left of them."""
    progress, shared = course.progress, None
    while not course.is_over:
        epoch = progress.epoch
        unfreeze(loop.model, loop.settings, epoch)
        if shared is None or loop.settings.unfreeze:
            shared = loop.world.spread(PartLoss(loop), in_shards=loop.in_shards)
        if not _epoch_fits(loop, shared, course, checkpoints):
            continue
        if not course.is_over:
            _look(loop, course, {"epoch": epoch, "loss": progress.mean_loss})
        progress.epoch += 1
        progress.step, progress.loss, progress.weight, progress.random = 0, 0.0, 0.0, random_state()
        if checkpoints:
            checkpoints.save(partial(_captured, loop, progress, is_over=course.is_over))


def _captured(loop: Loop, progress: Progress, *, is_over: bool = False) -> Snapshot:
    """The state between two steps, all losses read: of weights that are not finite there is no checkpoint."""
    loop.losses.settle(progress)
    return capture(loop.learner, progress, is_over=is_over)


def _look(loop: Loop, course: Course, place: dict[str, float]) -> None:
    """Measure the weights that would be kept: those of the last step, or their running mean."""
    with loop.mean.put_in() if loop.mean else nullcontext():
        course.look(place)


def _epoch_fits(loop: Loop, shared: nn.Module, course: Course, checkpoints: AnyCheckpoints) -> bool:
    """Make what is left of an epoch; False where a step did not fit the memory, and is to be made in smaller parts."""
    with suppress(TooLarge):
        _one_epoch(loop, shared, course, checkpoints)
        return True
    # Out here nothing holds what was computed.
    loop.gradients.clear()
    halve(loop.batches, course.progress)
    return False


def _one_epoch(loop: Loop, shared: nn.Module, course: Course, checkpoints: AnyCheckpoints) -> None:
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
                one_step(loop, shared, parts, progress)
            for part in parts:
                progress.trained.work = progress.trained.work.plus(part.work)
            # On a GPU the first losses are not read yet.
            known = {"loss": progress.mean_loss} if progress.weight else {}
            advance(1, epoch=progress.epoch, **known)
            if checkpoints and checkpoints.is_due(progress.step):
                checkpoints.save(partial(_captured, loop, progress))
        with progress.trained.timed():
            loop.losses.settle(progress)


def _look_between(loop: Loop, course: Course) -> None:
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
