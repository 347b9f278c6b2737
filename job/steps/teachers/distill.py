"""Distillation: a student learns what a teacher answers, beside the labels (Hinton et al. 2015, arXiv 1503.02531).

Axes: N training rows, B rows of a batch, L labels (1 for a number).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional

from tunewright.job.batches.side import Array, Batch, Renewed, Rows
from tunewright.job.kinds.plan import Plan, Prepared, Teaching
from tunewright.job.steps.teachers.tags import taught_tags
from tunewright.job.steps.teachers.teacher import answers, is_by_word
from tunewright.job.steps.teachers.unlabelled import extended
from tunewright.job.train.objective import Loss, Objective
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.runtime.scores import scores


def with_teacher(plan: Plan, registry: RegistrySettings, work: Path) -> Plan:
    """The plan with what the teacher answers to its training rows, and with the unlabelled rows among these."""
    prepared = plan.prepared
    logits, labelled = answers(prepared, registry), len(prepared.train)
    if is_by_word(prepared):
        return replace(plan, teaching=Teaching(logits, len(logits)))
    if prepared.unlabelled is not None:
        said = labels_of(logits[labelled:], prepared)
        prepared = extended(prepared, np.arange(len(prepared.unlabelled)), said, work / "taught")
    return replace(plan, prepared=prepared, teaching=Teaching(logits, labelled))


def labels_of(logits: Array, prepared: Prepared) -> list[object]:
    """What logits `[N, L]` say, as the data set keeps targets."""
    if prepared.problem == "regression":
        return [float(number) for number in logits[:, 0]]
    if prepared.problem == "single_label":
        return [[prepared.labels[best]] for best in logits.argmax(-1)]
    return [[prepared.labels[at] for at in np.flatnonzero(row)] for row in scores(logits, "sigmoid") >= 0.5]


def distilled(plan: Plan, rows: Rows, objective: Objective) -> tuple[Rows, Objective]:
    """Training rows that carry what the teacher answers to them, and an objective that learns both; as they are where
    there is no teacher."""
    settings, teaching = plan.settings.train.distill, plan.teaching
    if settings is None or teaching is None:
        return rows, objective
    if is_by_word(plan.prepared):
        return taught_tags(plan, rows, objective, divergence("single_label", settings.temperature, 1.0))
    problem, width, share = plan.prepared.problem, teaching.logits.shape[1], settings.weight
    all_labelled = teaching.labelled == len(teaching.logits)
    soft = divergence(problem, settings.temperature, objective.scale[1])

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        taught = share * soft(logits, targets[:, -width:])
        wanted = _as_given(targets[:, 1:-width], problem)
        if not all_labelled:
            known = targets[:, 0] > 0
            logits, wanted = logits[known], wanted[known]
        if share == 1 or not len(wanted):
            return taught
        # By rows, so that the parts of a step and those of several processes make the same step.
        weight = objective.weight(wanted) / len(targets)
        return taught + (1 - share) * weight * objective.loss(logits, wanted)

    return Distilled(rows, teaching), replace(objective, loss=loss, weight=len)


def _as_given(targets: torch.Tensor, problem: str) -> torch.Tensor:
    if problem == "multi_label":
        return targets
    return targets[:, 0].long() if problem == "single_label" else targets[:, 0]


def divergence(problem: str, temperature: float, unit: float) -> Loss:
    """How far logits `[B, L]` are from a teacher's, the mean over rows: Kullback-Leibler divergence at a temperature,
    times its square, which keeps its gradient as large as that of the labels; of several labels the mean over them. Of
    numbers the squared difference in their unit."""

    def of_one(logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        ours, theirs = ((one / temperature).log_softmax(-1) for one in (logits, taught))
        return temperature**2 * functional.kl_div(ours, theirs, log_target=True, reduction="batchmean")

    def of_several(logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        # A choice of two for each label.
        pairs = (torch.stack([one, torch.zeros_like(one)], dim=-1).flatten(0, 1) for one in (logits, taught))
        return of_one(*pairs)

    losses: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
        "single_label": of_one,
        "multi_label": of_several,
        "regression": lambda logits, taught: (((logits - taught) / unit) ** 2).mean(),
    }
    return losses[problem]


class Distilled:
    """Rows whose targets are, side by side, whether a row has a label of its own, its target, and the teacher's logits:
    `[B, 1 + targets + L]`."""

    def __init__(self, plain: Rows, teaching: Teaching) -> None:
        self.plain, self._labelled = plain, teaching.labelled
        self._logits = torch.from_numpy(teaching.logits)
        # The same array: rows that are drawn anew change it.
        self.lengths, self.truncated = plain.lengths, plain.truncated

    def __len__(self) -> int:
        return len(self.plain)

    def renew(self, epoch: int) -> None:
        """Have the rows of another epoch, where these are others."""
        if isinstance(self.plain, Renewed):
            self.plain.renew(epoch)

    def batch(self, rows: Sequence[int]) -> Batch:
        """These rows, changed or drawn as they may be; the teacher's answers are those to the rows as they are."""
        batch = self.plain.batch(rows)
        numbers = batch.get("rows", torch.tensor(list(rows)))
        targets = batch["targets"].float()
        wide = targets[:, None] if targets.ndim == 1 else targets
        known = (numbers < self._labelled).float()[:, None]
        return {**batch, "targets": torch.cat([known, wide, self._logits[numbers]], dim=1)}
