"""What all models share that learn to write: logits of the learned tokens only, their loss, perplexity, packed rows.

Axes: B rows of a batch, T tokens of a row, M tokens of a batch that are learned, V tokens of the vocabulary.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as functional
from torch import nn

from tunewright.job.batches.side import Array, Batch
from tunewright.job.batches.text import NO_LABEL
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.objective import Objective, Scored, forward
from tunewright.serving.runtime import scores

_LOGITS = 1 << 26
"""Logits of one validation batch (256 MiB)."""
_LEARNED_LOGITS = 1 << 30
"""Logits of what goes through the model at a time in training; with their gradients they take some 16 bytes each."""
_LARGEST = 80.0
"""The exponential of a larger loss says no more."""


def objective(settings: TrainSettings, vocabulary: int) -> Objective:
    """Cross-entropy at the learned tokens; perplexity decides which epoch was best."""

    def loss(logits_MV: torch.Tensor, targets_M: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits_MV, targets_M, label_smoothing=settings.label_smoothing)

    tokens = max(512, min(4096, _LOGITS // vocabulary))
    return Objective(
        loss,
        _figures,
        "perplexity",
        forward=_written_logits,
        validation_tokens=tokens,
        learned_tokens=_LEARNED_LOGITS // vocabulary,
    )


def learned_logits(model: nn.Module, batch: Batch, **more: bool) -> torch.Tensor:
    """Logits `[M, V]` of the tokens that `learned` marks (`[B, T]`, or their places `[M]` among all), or `[B, T, V]` of
    all where it is absent.

    The last layer sees nothing but those: with a large vocabulary it costs as much as all the others. `more`: what
    else the model is told.
    """
    inputs: dict[str, torch.Tensor | bool] = {name: part for name, part in batch.items() if name != "learned"}
    inputs |= more
    if "learned" not in batch:
        return forward(model, inputs)
    places_M = places(batch["learned"])
    last: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
    hook = last.register_forward_pre_hook(lambda _, args: (_chosen(args[0], places_M), *args[1:]))
    try:
        logits = forward(model, inputs)
    finally:
        hook.remove()
    # MobileBERT multiplies with its last layer's weights and never calls it.
    return logits if logits.ndim == 2 else _chosen(logits, places_M)


def places(learned: torch.Tensor) -> torch.Tensor:
    """Where `learned` is true, among all tokens; on a GPU that stops it, so it is better done before."""
    return learned if learned.ndim == 1 else learned.flatten().nonzero()[:, 0]


def _chosen(values_BTX: torch.Tensor, places_M: torch.Tensor) -> torch.Tensor:
    return values_BTX.flatten(0, 1).index_select(0, places_M)


def _written_logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Without the cache that writing token after token needs."""
    return learned_logits(model, batch, use_cache=False)


def _figures(scored: Scored) -> dict[str, float]:
    """Perplexity over all learned tokens."""
    loss, tokens = 0.0, 0
    for _, batch, logits in scored:
        loss += float(functional.cross_entropy(logits, batch["targets"], reduction="sum"))
        tokens += len(batch["targets"])
    return {"perplexity": perplexity(loss, tokens)}


def perplexity(loss: float, tokens: float) -> float:
    """Between how many tokens the model hesitates, from a summed cross-entropy."""
    return math.exp(min(loss / max(tokens, 1), _LARGEST))


def unigram_perplexity(learned: Iterable[int], asked: Iterable[int], vocabulary: int) -> float:
    """Of tokens drawn by how often each was learned, whatever stands before it: what an answer without a model gets.

    Counts are raised by one, so that a token that was never learned is not impossible.
    """
    counts = Counter(learned)
    total = counts.total() + vocabulary
    losses = [math.log(total / (counts[token] + 1)) for token in asked]
    return perplexity(sum(losses), len(losses))


def cross_entropy(scores_TV: Array, labels_T: Sequence[int]) -> tuple[float, int]:
    """Summed cross-entropy of the tokens that have a label, and their number."""
    labels = np.asarray(labels_T)
    learned = np.flatnonzero(labels != NO_LABEL)
    return float(scores.cross_entropy(scores_TV[learned], labels[learned]).sum()), len(learned)
