"""What a job will take: measured on a few parts of its steps before it begins, and cut down to the memory there is."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

from tunewright.job.batches.side import Rows
from tunewright.job.kinds.plan import Plan
from tunewright.job.learners.files import MediaRows
from tunewright.job.measure.faithfulness import BUDGET
from tunewright.job.measure.rows.altered import ALTERATIONS
from tunewright.job.measure.rows.robustness import MOST_ROWS, MOST_SECONDS
from tunewright.job.progress.events import quiet, say, warn
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.gate import is_altered
from tunewright.job.steps.remedies.imbalance import REMEDIES
from tunewright.job.train.cost.probe import Probed, available, resident
from tunewright.job.train.distributed import world
from tunewright.job.train.loop import rehearse
from tunewright.job.train.objective import Objective
from tunewright.job.train.step.answers import GAUGED
from tunewright.serving.explain.kinds import KINDS

_ALONE = 100
"""Inputs that are answered one by one wherever a variant is measured, at most."""
_PARITY, _PROFILE = 200, 500
"""Inputs that are held against torch's answers, and those of the profile, at most."""
_SERVED, _SERVED_ALONE = 0.7, 0.45
"""What an exported file takes for a row as against torch, the mean of the variants: together with others, and alone."""
_EXPORT = (6.0, 1.0e-7)
"""Seconds of an export, and more of them for each weight."""
_EXPLAINED = 30.0
"""Seconds after which no more rows are explained."""
_MARGIN = 0.95
"""Of the memory there is, what is planned for."""
_FEWEST = 64
"""Tokens at a time under which less memory is not worth the time."""


@dataclass(frozen=True)
class Needed:
    """Bytes that a run takes at its peak."""

    fixed: int
    """The process, the weights, what the optimizer keeps, and the copies that are kept of them."""
    held: int
    """What is held for the way back of the largest part of a step."""

    @property
    def total(self) -> int:
        """Together."""
        return self.fixed + self.held


@dataclass
class Forecast:
    """Says before a model learns how long the job will take and how much memory it needs."""

    trainings: int = 1
    """Models that the job teaches one after the other."""
    halvings: int = 0
    """How often the tokens that go through the model at a time are halved, so that they fit the memory."""
    goes_on: bool = False
    """Whether a part of the run is done already."""
    is_said: bool = field(default=False, init=False)

    def __call__(self, model: nn.Module, sides: tuple[Rows, Rows], objective: Objective, plan: Plan) -> int:
        """Before the first model learns; how often its parts are halved from the beginning."""
        if not self.is_said and world().is_first:
            self.is_said = True
            if reason := _untold(plan):
                say("plan", f"how long it will take and how much memory it needs is not known: {reason}")
            else:
                self._measure(model, sides, objective, plan)
        return self.halvings

    def of_text(self, model: nn.Module, sides: tuple[Rows, Rows], objective: Objective, plan: Plan) -> int:
        """Before a base reads text: what that takes, as the rest is told when it is done."""
        if world().is_first and not _untold(plan):
            probed = self._probed(model, sides, objective, plan)
            train = plan.settings.train
            seconds = train.epochs * probed.epoch + (_looks(sides, objective, plan) + 1) * probed.validation
            goes_on = ", less what is done already" if self.goes_on else ""
            say(
                "plan",
                f"about {shown(seconds)} to read the text, if nothing else runs{goes_on}; what comes after it is told "
                "then",
                seconds=round(seconds, 1),
            )
        return 0

    def _measure(self, model: nn.Module, sides: tuple[Rows, Rows], objective: Objective, plan: Plan) -> None:
        settings = plan.settings.train
        before = resident()
        probed = self._probed(model, sides, objective, plan)
        learning = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        needed, there = None, None
        if probed.held is not None and not torch.cuda.is_available():
            decoded = sum(side.decoded.to_come for side in sides if isinstance(side, MediaRows))
            fixed = (before or 0) + bytes_kept(learning, plan) + decoded
            needed, there = Needed(fixed, max(0, probed.held - 4 * learning)), available()
            if there is not None and objective.divisible:
                self.halvings += fitting(needed, int(there * _MARGIN), probed.largest, settings.max_tokens)
                needed = Needed(needed.fixed, needed.held >> self.halvings)
        looks = _looks(sides, objective, plan)
        self._say(self._seconds(probed, len(sides[1]), looks, model, plan), needed, probed, plan)
        if needed and there is not None and needed.total > there * _MARGIN:
            warn("plan", too_little(needed.total, there), bytes=needed.total, available=there)

    def _probed(self, model: nn.Module, sides: tuple[Rows, Rows], objective: Objective, plan: Plan) -> Probed:
        """As many tokens at a time as the memory of a GPU takes."""
        while True:
            try:
                with quiet():
                    return rehearse(model, sides, objective, plan.settings.train, self.halvings)
            except torch.OutOfMemoryError:
                if not objective.divisible or self.halvings > 20:
                    raise
                self.halvings += 1
                torch.cuda.empty_cache()

    def _seconds(self, probed: Probed, validation: int, looks: float, model: nn.Module, plan: Plan) -> dict[str, float]:
        """By what is done. `looks`: how often all validation rows are answered while one model learns."""
        row = probed.validation / validation if validation else probed.alone
        variants = len(set(plan.settings.export.variants) | {"fp32"})
        if plan.settings.train.few_shot:
            # The vectors of all training rows, of which each look and the end make a head.
            looks += (plan.settings.train.epochs * bool(validation) + 1) * len(plan.prepared.train) / max(validation, 1)
        start, each = _EXPORT
        weights = sum(weight.numel() for weight in model.parameters())
        return {
            "training": self.trainings * plan.settings.train.epochs * probed.epoch,
            "validation": self.trainings * looks * row * max(validation, 1),
            "export": start + each * weights * variants,
            "proof": _proof(plan, row, probed.alone, variants),
        }

    def _say(self, seconds: dict[str, float], needed: Needed | None, probed: Probed, plan: Plan) -> None:
        total = sum(seconds.values())
        memory = f" and {needed.total / 1e9:.1f} GB of memory" if needed else ""
        parts = ", ".join(f"{name} {shown(of)}" for name, of in seconds.items())
        facts = {"seconds": round(total, 1), "parts": {name: round(of, 1) for name, of in seconds.items()}}
        more = {"bytes": needed.total} if needed else {}
        if self.halvings:
            text = (
                f"at most {probed.largest >> self.halvings:,} tokens go through the model at a time, to fit the memory"
            )
            say("plan", f"{text}; a step still learns from all its rows", halvings=self.halvings)
        unknown = "".join(f"; {one}" for one in _unknown(plan))
        where = "for the whole run, of which a part is done" if self.goes_on else "from here"
        say("plan", f"about {shown(total)}{memory} {where}, if nothing else runs: {parts}{unknown}", **facts, **more)


def _untold(plan: Plan) -> str:
    """Why nothing can be tried before a model learns; empty where that can be."""
    train = plan.settings.train
    if train.few_shot and train.layers == "head":
        return "nothing but a head is fitted"
    if train.parallel == "fsdp" and world().size > 1:
        return "each process holds a share of the weights (train.parallel: fsdp), and can try nothing alone"
    return ""


def _unknown(plan: Plan) -> Iterator[str]:
    """What nothing tells the time of."""
    if plan.prepared.problem in ("text_to_text", "text_generation"):
        yield "how long the test rows take to be written is not in it"
    if plan.settings.train.quantization_aware == "auto":
        yield "learning on with the rounding of int8, where that is needed, is not in it"


def _looks(sides: tuple[Rows, Rows], objective: Objective, plan: Plan) -> float:
    """How often a model that learns answers all validation rows: those of training that stand beside them count too."""
    train, (rows, validation) = plan.settings.train, map(len, sides)
    if not validation:
        return 0.0
    beside = min(validation, GAUGED, rows) / validation if objective.gauged else 0.0
    steps = math.ceil(rows / (train.batch_size * train.accumulation))
    return train.epochs * (1 + (steps // train.evaluate if train.evaluate else 0)) * (1 + beside)


def _proof(plan: Plan, row: float, alone: float, variants: int) -> float:
    """Seconds of what the exported files are tried with. `row` and `alone`: what torch takes for one."""
    samples, test, asked = len(plan.prepared.samples), len(plan.prepared.test), plan.settings.export.explained_rows
    together = variants * (samples + test + min(samples, _PARITY)) + min(test, _PROFILE)
    one_by_one = variants * (min(samples, _ALONE) + min(test, _ALONE))
    explained = min(asked, test) * BUDGET * row if plan.settings.task in KINDS else 0.0
    torch_alone = min(samples, _PARITY) * alone
    served = _SERVED * row * together + _SERVED_ALONE * alone * one_by_one
    return served + torch_alone + min(explained, _EXPLAINED) + min(_altered(plan, row), MOST_SECONDS)


def _altered(plan: Plan, row: float) -> float:
    """Seconds of the test rows that are written otherwise, in every way and as they are."""
    prepared = plan.prepared
    rows = min(len(prepared.test), MOST_ROWS) if is_altered(prepared.task, prepared.problem) else 0
    return rows * (1 + len(ALTERATIONS)) * _SERVED * row


def trainings_of(settings: JobSettings) -> int:
    """How many models a job teaches."""
    train = settings.train
    tries = len(REMEDIES) if train.imbalance else 1
    rounds = 1 + (train.pseudo_labels.rounds if train.pseudo_labels else 0)
    return tries * rounds * (2 if settings.adapt else 1)


def bytes_kept(learning: int, plan: Plan) -> int:
    """Beside the weights: gradients, the optimizer's running means, the best weights, and a checkpoint under way."""
    train = plan.settings.train
    moments = 2 if train.optimizer == "adamw_8bit" else 8
    copies = 1 + (train.average or 0) + (1 if train.ema else 0)
    # A checkpoint is a copy of the weights and of the running means, which is written while the run goes on.
    return learning * (4 + moments + 4 * copies + 4 + moments)


def fitting(needed: Needed, there: int, largest: int, given: int | None) -> int:
    """How often the parts of a step are to be halved to fit the memory; never where their size was given."""
    if given is not None or needed.total <= there or not needed.held:
        return 0
    most = max(0, int(math.log2(max(1, largest / _FEWEST))))
    halvings = 0
    while halvings < most and needed.fixed + (needed.held >> halvings) > there:
        halvings += 1
    return halvings


def too_little(needed: int, there: int) -> str:
    """What to do about it."""
    return (
        f"the job needs about {needed / 1e9:.1f} GB of memory and can have {there / 1e9:.1f} GB: it may be killed; "
        "give it more, lower train.max_length or train.max_tokens, let less learn (train.lora, train.layers), or set "
        "train.gradient_checkpointing"
    )


def shown(seconds: float) -> str:
    """A time for people."""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
