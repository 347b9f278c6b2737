"""Rounding that costs too much: a model of which int8 loses more than its gate allows learns on with that rounding."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from accelerate import Accelerator
from torch import nn

from tunewright.job.batches.side import Batch, Rows
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.kinds.plan import Plan
from tunewright.job.model.layers import choose_layers
from tunewright.job.progress.events import say
from tunewright.job.steps.gate import is_too_much
from tunewright.job.train.device.fake_int8 import RoundingCost, int8_imitated
from tunewright.job.train.distributed import world
from tunewright.job.train.loop import train
from tunewright.job.train.objective import Objective, nobody, scored
from tunewright.job.train.state import Trained, changing_weights, load_weights

SHARE, SLOWER = 3, 5
"""The epochs that follow are a third of those there were, at a fifth of their learning rate."""
_Figures = dict[str, float]


def bear_rounding(
    model: nn.Module,
    sides: tuple[Rows, Rows],
    objective: Objective,
    plan: Plan,
    trained: Trained,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Where `train.quantization_aware` is auto: measure what int8 costs on the validation side, and let the model learn
    on where that is more than its gate allows. Model and `trained` change in place."""
    if plan.settings.train.quantization_aware != "auto" or objective.idle:
        return
    allowed = plan.settings.gate.max_drop["int8"]
    plain, rounded = _both(model, sides[1], objective)
    headline = plan.prepared.task.headline(plan.prepared.problem)
    metric = headline if headline in plain else objective.metric
    cost = RoundingCost(metric, allowed, plain[metric], rounded[metric])
    told = sentence(cost)
    if not is_too_much(metric, cost.fp32, cost.int8, allowed):
        say("int8", f"{told}: that is no more than it may lose ({allowed:g})")
        trained.rounding = cost
        return
    shorter = _shorter(plan)
    epochs = shorter.settings.train.epochs
    say(
        "int8", f"{told}, and it may lose {allowed:g}: {epochs} epoch{'s' if epochs > 1 else ''} more with the rounding"
    )
    before = changing_weights(model)
    choose_layers(model, shorter.settings.train)
    more = train(model, sides, replace(objective, watch=nobody), shorter.settings.train, checkpoints)
    plain, rounded = _both(model, sides[1], objective)
    # What int8 has won shall not be what float32 has lost.
    kept = not any(is_too_much(metric, fp32, rounded[metric], allowed) for fp32 in (cost.fp32, plain[metric]))
    trained.rounding = replace(cost, tuned_fp32=plain[metric], tuned_int8=rounded[metric], kept=kept)
    _count(trained, more)
    if kept:
        trained.figures = plain
    else:
        load_weights(model, before)
    say("int8", sentence(trained.rounding), **{f"tuned_{metric}": rounded[metric]})


def sentence(cost: RoundingCost) -> str:
    """What int8 costs, and what learning with it bought, for people."""
    told = f"{cost.metric} on validation {cost.fp32:.4f} in float32, {cost.int8:.4f} rounded to int8"
    if cost.tuned_int8 is None:
        return told
    kept = "are kept" if cost.kept else f"lose more than {cost.allowed:g} of the first as well, and are not kept"
    return f"{told}; after learning with it {cost.tuned_fp32:.4f} and {cost.tuned_int8:.4f}: these weights {kept}"


def _shorter(plan: Plan) -> Plan:
    settings = plan.settings.train
    epochs, rate = max(1, round(settings.epochs / SHARE)), settings.learning_rate / SLOWER
    return plan.with_train(quantization_aware=True, epochs=epochs, learning_rate=rate, unfreeze=None)


def _both(model: nn.Module, rows: Rows, objective: Objective) -> tuple[_Figures, _Figures]:
    """Figures of a model as it is, and with the rounding of int8; for all processes those of the first."""
    plain, rounded = _measured(model, rows, objective, False), _measured(model, rows, objective, True)
    return world().same((plain, rounded))


def _measured(model: nn.Module, rows: Rows, objective: Objective, is_rounded: bool) -> _Figures:
    offset, factor = objective.scale

    def in_units() -> Iterator[tuple[list[int], Batch, torch.Tensor]]:
        for numbers, batch, logits in scored(model, rows, objective):
            yield numbers, batch, logits * factor + offset

    model.to(Accelerator().device).eval()
    with int8_imitated(model, is_rounded):
        figures = objective.measure(in_units())
    model.cpu()
    return figures


def _count(trained: Trained, more: Trained) -> None:
    """What it took counts as learning."""
    trained.seconds += more.seconds
    trained.processor_seconds += more.processor_seconds
    trained.work = trained.work.plus(more.work)
