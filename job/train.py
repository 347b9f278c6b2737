"""The training loop, in the open: batch, loss, backward, clip, step; validate after each epoch, keep the best.

Axes: B rows of a batch, T tokens, L labels.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import get_scheduler

from job import signals
from job.batches import LengthGroupedBatches
from job.encode import EncodedSplit
from job.errors import TrainingFailed
from job.export import graph_inputs
from job.progress import bar, say
from job.settings import TrainSettings
from job.tasks.task import Array, Loss
from serving.encoding import Encoder
from serving.predictor import plan_runs

_VALIDATION_TOKENS = 4096
"""Padded tokens of one validation batch."""
_CALMER = "lower train.learning_rate or train.clip, or set train.precision to fp32"


@dataclass(frozen=True)
class Objective:
    """What training makes small, and what tells the best epoch."""

    loss: Loss
    scale: tuple[float, float]
    """Offset and factor from the last layer's output to the unit of the targets."""
    measure: Callable[[Array, Any], dict[str, float]]
    """Logits and targets to figures."""
    metric: str
    """The figure that decides; one whose name says error is better when lower."""

    def better(self, figure: float, than: float) -> bool:
        """Whether a figure beats another one."""
        return figure < than if lower_is_better(self.metric) else figure > than


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
    rows_per_second: float = 0.0


def lower_is_better(metric: str) -> bool:
    """Whether a figure of this name is an error."""
    return metric in ("rmse", "loss")


class _Rows(Dataset[int]):
    """Row numbers; the rows themselves are read when a batch is put together."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> int:
        return index


class _Collate:
    """Row numbers to padded tensors `[B, T]`, with the targets and the row numbers."""

    def __init__(self, split: EncodedSplit, encoder: Encoder, inputs: list[str]) -> None:
        self._split, self._encoder, self._inputs = split, encoder, inputs

    def __call__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        arrays = self._encoder.pad([self._split.row(row) for row in rows], self._inputs)
        batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return {**batch, "targets": torch.from_numpy(self._split.targets[rows]), "rows": torch.tensor(rows)}


@dataclass(frozen=True)
class _Loop:
    """Everything one epoch needs, prepared for the device."""

    accelerator: Accelerator
    model: nn.Module
    optimizer: Any
    schedule: Any
    loader: Any
    inputs: list[str]
    batches: LengthGroupedBatches
    objective: Objective
    settings: TrainSettings
    bf16: bool


def train(
    model: nn.Module,
    splits: tuple[EncodedSplit, EncodedSplit],
    encoder: Encoder,
    objective: Objective,
    settings: TrainSettings,
) -> Trained:
    """Fine-tune `model` in place on the first split; it ends with the weights that did best on the second."""
    loop = _prepare(model, splits[0], encoder, objective, settings)
    trained = Trained("bf16" if loop.bf16 else "fp32", str(loop.accelerator.device))
    best: dict[str, torch.Tensor] = {}
    for epoch in range(1, settings.epochs + 1):
        started = time.perf_counter()
        loss = _one_epoch(loop, epoch)
        trained.seconds += time.perf_counter() - started
        trained.rows_per_second = len(splits[0]) * epoch / trained.seconds
        figures = objective.measure(_logits(loop, splits[1], encoder), splits[1].targets)
        trained.history.append({"epoch": epoch, "loss": loss, **figures})
        improved = not best or objective.better(figures[objective.metric], trained.figures[objective.metric])
        _say_epoch(trained.history[-1], settings.epochs, improved=improved)
        if improved:
            trained.best_epoch, trained.figures = epoch, figures
            best = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        elif epoch - trained.best_epoch >= settings.patience:
            say("train", f"stopped early: no better {objective.metric} in {settings.patience} epochs")
            break
    model.cpu().load_state_dict(best)
    model.eval()
    return trained


def _prepare(
    model: nn.Module, split: EncodedSplit, encoder: Encoder, objective: Objective, settings: TrainSettings
) -> _Loop:
    set_seed(settings.seed)
    # Mixed precision is in `_forward`, in one line: accelerate would wrap the model's forward, and export that too.
    accelerator = Accelerator(mixed_precision="no", gradient_accumulation_steps=settings.accumulation)
    batches = LengthGroupedBatches(split.lengths, settings.batch_size, settings.seed)
    inputs = graph_inputs(model.config)
    collate = _Collate(split, encoder, inputs)
    loader: Any = DataLoader(_Rows(len(split)), batch_sampler=batches, collate_fn=collate)
    optimizer = _optimizer(model, settings)
    steps = settings.epochs * math.ceil(len(batches) / settings.accumulation)
    schedule = get_scheduler(settings.schedule, optimizer, round(steps * settings.warmup), steps)
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    bf16 = use_bf16(settings.precision)
    return _Loop(accelerator, model, optimizer, schedule, loader, inputs, batches, objective, settings, bf16)


def _one_epoch(loop: _Loop, epoch: int) -> float:
    """All batches once; the mean loss."""
    loop.model.train()
    loop.batches.epoch = epoch
    total = 0.0
    with bar("train", len(loop.batches)) as advance:
        for number, batch in enumerate(loop.loader, 1):
            signals.check()
            with loop.accelerator.accumulate(loop.model):
                rows, targets = batch.pop("rows"), batch.pop("targets")
                loss = loop.objective.loss(_forward(loop, batch), targets)
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise TrainingFailed(_not_finite(value, epoch, number, rows.tolist()))
                loop.accelerator.backward(
                    loss * _share_correction(number, len(loop.batches), loop.settings.accumulation)
                )
                if loop.accelerator.sync_gradients:
                    loop.accelerator.clip_grad_norm_(loop.model.parameters(), loop.settings.clip)
                loop.optimizer.step()
                loop.schedule.step()
                loop.optimizer.zero_grad()
            total += value
            advance(1, epoch=epoch, loss=total / number)
    return total / len(loop.batches)


def _share_correction(number: int, batches: int, accumulation: int) -> float:
    """accelerate gives each batch 1/accumulation of a step; those of an epoch's last, smaller group share it whole."""
    left = batches % accumulation
    return accumulation / left if number > batches - left else 1.0


def _forward(loop: _Loop, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits `[B, L]` in the unit of the targets, float32."""
    offset, factor = loop.objective.scale
    with torch.autocast(loop.accelerator.device.type, torch.bfloat16, enabled=loop.bf16):
        logits: torch.Tensor = loop.model(**batch)["logits"]
    return logits.float() * factor + offset


def _not_finite(value: float, epoch: int, number: int, rows: list[int]) -> str:
    shown = ", ".join(str(row) for row in rows[:8]) + (", ..." if len(rows) > 8 else "")
    return f"the loss of batch {number} in epoch {epoch} is {value} (training rows {shown}, counted from 0); {_CALMER}"


@torch.no_grad()
def _logits(loop: _Loop, split: EncodedSplit, encoder: Encoder) -> Array:
    """Logits `[N, L]` of a split, in its order."""
    loop.model.eval()
    collate = _Collate(split, encoder, loop.inputs)
    parts: list[tuple[list[int], Array]] = []
    for rows in plan_runs(split.lengths.tolist(), _VALIDATION_TOKENS):
        batch = {name: tensor.to(loop.accelerator.device) for name, tensor in collate(rows).items()}
        del batch["rows"], batch["targets"]
        parts.append((rows, _forward(loop, batch).cpu().numpy()))
    logits = np.empty((len(split), parts[0][1].shape[1]), dtype=np.float32)
    for rows, part in parts:
        logits[rows] = part
    if not np.isfinite(logits).all():
        raise TrainingFailed(f"the model answers a validation row with a number that is not finite; {_CALMER}")
    return logits


def _optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW; one-dimensional weights (biases, normalization) are not decayed."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in learning if weight.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in learning if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def use_bf16(precision: str) -> bool:
    """Whether the forward pass runs in bf16: as asked, or where the hardware multiplies in it."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def _say_epoch(figures: dict[str, float], epochs: int, *, improved: bool) -> None:
    shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items() if name != "epoch")
    say("train", f"epoch {figures['epoch']:.0f}/{epochs}  {shown}" + ("  (best so far)" if improved else ""), **figures)
