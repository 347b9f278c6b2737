"""The work that learning was: rows, tokens, padding, and the arithmetic that the model needs for them.

Axes: B rows of a batch, T tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from torch import nn

from tunewright.job.batches.side import Batch
from tunewright.job.model import four_bits
from tunewright.job.model.layers import blocks

_STREAMS = ("input_ids", "decoder_input_ids")
_OTHERS = {"decoder_input_ids", "pixel_values", "input_features", "input_values"}
"""Inputs of models of which not every token goes through every layer."""


class Work(NamedTuple):
    """What has gone through a model while it learned."""

    rows: int = 0
    tokens: int = 0
    """Without padding; 0 where the inputs are none."""
    padded: int = 0
    """With padding."""
    flop: float = 0.0
    """Floating-point operations that the model needs for the tokens; 0 where that is not known."""

    def plus(self, other: "Work") -> "Work":
        """Both together."""
        rows, tokens, padded = self.rows + other.rows, self.tokens + other.tokens, self.padded + other.padded
        return Work(rows, tokens, padded, self.flop + other.flop)

    def summed(self, total: Callable[[float], float]) -> "Work":
        """That of all processes. `total`: a number of this one to the sum of all."""
        return Work(int(total(self.rows)), int(total(self.tokens)), int(total(self.padded)), total(self.flop))


@dataclass(frozen=True)
class Pace:
    """How fast a model has learned, validation not counted."""

    rows_per_second: float
    tokens_per_second: float | None
    """Without padding; None where the inputs are no tokens."""
    padding: float | None
    """Share of what went through the model that was padding."""
    flop_per_second: float | None
    """Floating-point operations that the model needs for the tokens; None where that is not known."""

    @property
    def text(self) -> str:
        """For people."""
        parts = [f"{self.rows_per_second:,.4g} rows/s"]
        if self.tokens_per_second is not None and self.padding is not None:
            parts.append(f"{self.tokens_per_second:,.0f} tokens/s beside {self.padding:.1%} padding")
        if self.flop_per_second is not None:
            parts.append(f"{self.flop_per_second / 1e9:,.4g} GFLOP/s of the model")
        return ", ".join(parts)


def pace_of(work: Work, seconds: float) -> Pace | None:
    """The pace of so much work; None where nothing was learned."""
    if not work.rows or not seconds:
        return None
    return Pace(
        round(work.rows / seconds, 2),
        round(work.tokens / seconds, 1) if work.tokens else None,
        round(1 - work.tokens / work.padded, 4) if work.padded else None,
        round(work.flop / seconds) if work.flop else None,
    )


class WorkCounter:
    """Counts the work of batches that a model learns from.

    A weight costs a token 2 operations on the way there, 2 more for its own gradient, and 2 more for that of what lies
    below it: 6 where all learn (Kaplan et al. 2020, arXiv 2001.08361, section 2.1). Attention costs a layer of hidden
    size D another 12 D T for each token of a row of T, a third of them on the way there (Chowdhery et al. 2022, arXiv
    2204.02311, appendix B). Counted are the weights of the stack of layers, and those of a last layer that writes; what
    is computed for padding, or again on the way back, is no work of the model.
    """

    def __init__(self, model: nn.Module, *, passes: int = 1) -> None:
        """`passes`: how often a batch goes through the model."""
        self._of_token, self._of_pair, self._of_written = (passes * cost for cost in _costs(model))

    def __call__(self, batch: Batch, lengths: int, rows: int) -> Work:
        """Of a batch that the model reads next. `lengths`: the sum of those of its rows."""
        streams = [batch[name] for name in _STREAMS if name in batch]
        if not streams:
            return Work(rows)
        padded = sum(stream.numel() for stream in streams)
        mask, pairs = batch.get("attention_mask"), 0
        if mask is not None and mask.ndim == 2 and len(streams) == 1:
            of_rows = mask.sum(-1)
            tokens, pairs = int(of_rows.sum()), int((of_rows**2).sum())
        else:
            tokens = min(lengths, padded)
            # Texts of one row see none of each other: each counts its places from 0.
            pairs = int((2 * batch["position_ids"] + 1).sum()) if "position_ids" in batch else 0
        if _OTHERS & set(batch):
            return Work(rows, tokens, padded)
        written = len(batch["targets"]) if "learned" in batch else 0
        flop = self._of_token * tokens + self._of_pair * pairs + self._of_written * written
        return Work(rows, tokens, padded, flop)


def _costs(model: nn.Module) -> tuple[float, float, float]:
    """Operations of a token in the stack of layers, of two tokens that see each other, and of a token to be written."""
    config, stack = getattr(model, "config", None), blocks(model) if hasattr(model, "base_model_prefix") else []
    hidden = getattr(config, "hidden_size", None)
    if not stack or not isinstance(hidden, int):
        return 0.0, 0.0, 0.0
    inside = {id(weight) for block in stack for weight in block.parameters()}
    # Layers that are used more than once, as ALBERT's are.
    times = max(1.0, (getattr(config, "num_hidden_layers", None) or 1) / len(stack))
    # What stands before the layers: their way back ends where nothing below learns.
    learns = any(weight.requires_grad for weight in takewhile(lambda one: id(one) not in inside, model.parameters()))
    of_token = of_pair = 0.0
    for block in stack:
        for weight in block.parameters():
            of_token += four_bits.size(weight) * (2 + 2 * weight.requires_grad + 2 * learns)
            learns = learns or weight.requires_grad
        of_pair += hidden * (12 if learns else 4)
    return times * of_token, times * of_pair, _of_written(model)


def _of_written(model: nn.Module) -> float:
    last = getattr(model, "get_output_embeddings", lambda: None)()
    weight = getattr(last, "weight", None)
    return float(6 * four_bits.size(weight)) if isinstance(weight, nn.Parameter) else 0.0
