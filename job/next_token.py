"""What all models share that learn to write: logits of the learned tokens only, their loss, perplexity, packed rows.

Axes: B rows of a batch, T tokens of a row, M tokens of a batch that are learned, V tokens of the vocabulary.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import nn

from job.encode import NO_LABEL, EncodedSplit
from job.errors import SettingsError
from job.objective import Array, Batch, Objective, Scored, forward
from job.settings import TrainSettings, refuse_useless

_USELESS = ("pooling", "class_weights", "focal_gamma", "huber_delta")
_LOGITS = 1 << 26
"""Logits of one validation batch (256 MiB)."""
_LARGEST = 80.0
"""The exponential of a larger loss says no more."""

Ids = NDArray[np.int64]


def objective(settings: TrainSettings, vocabulary: int) -> Objective:
    """Cross-entropy at the learned tokens; perplexity decides which epoch was best."""
    refuse_useless(settings, _USELESS, "a model that writes has no labels and no vector of a text")
    if settings.metric not in (None, "perplexity"):
        raise SettingsError(
            f"train.metric is {settings.metric!r}, which is measured once, on the exported files; "
            "after each epoch the perplexity is known: remove it"
        )

    def loss(logits_MV: torch.Tensor, targets_M: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits_MV, targets_M, label_smoothing=settings.label_smoothing)

    tokens = max(512, min(4096, _LOGITS // vocabulary))
    return Objective(loss, _figures, "perplexity", forward=learned_logits, validation_tokens=tokens)


def learned_logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Logits `[M, V]` of the tokens that `learned` marks.

    The last layer sees nothing but those: with a large vocabulary it costs as much memory as all the others.
    """
    inputs: dict[str, Any] = {name: tensor for name, tensor in batch.items() if name != "learned"}
    learned_BT = batch["learned"]
    last: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
    hook = last.register_forward_pre_hook(lambda _, args: (args[0][learned_BT], *args[1:]))
    try:
        return forward(model, {**inputs, "use_cache": False})  # type: ignore[dict-item]
    finally:
        hook.remove()


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
    scores_MV = scores_TV[learned].astype(np.float64)
    shifted = scores_MV - scores_MV.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    return float((log_total - shifted[np.arange(len(learned)), labels[learned]]).sum()), len(learned)


class CausalRows:
    """Rows of token ids with what follows each, as the training loop reads them.

    A row may hold several examples, told apart by their segments. None of them sees another: attention stays within a
    segment, and positions begin anew in each.
    """

    def __init__(self, split: EncodedSplit, pad: int) -> None:
        self._split, self._pad = split, pad
        self.lengths, self.truncated = split.lengths, split.truncated

    def __len__(self) -> int:
        return len(self._split)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Token ids `[B, T]`, what they may see, and the tokens to be learned `[M]`."""
        ids = self._padded(self._split.ids, rows, self._pad)
        labels = self._padded(self._split.labels, rows, NO_LABEL)
        # Two segments that touch differ in their type id.
        kinds = self._padded(self._split.type_ids, rows, -1)
        segments = np.cumsum(np.diff(kinds, axis=1, prepend=kinds[:, :1]) != 0, axis=1)
        learned = labels != NO_LABEL
        arrays = {"input_ids": ids, "learned": learned, "targets": labels[learned]}
        if (segments * (kinds >= 0)).any():
            arrays |= {"attention_mask": _within(segments), "position_ids": _positions(segments)}
        else:
            arrays["attention_mask"] = (kinds >= 0).astype(np.int64)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _padded(self, values: NDArray[Any], rows: Sequence[int], fill: int) -> Ids:
        starts = self._split.starts
        padded = np.full((len(rows), int(self.lengths[list(rows)].max())), fill, dtype=np.int64)
        for at, row in enumerate(rows):
            padded[at, : self.lengths[row]] = values[starts[row] : starts[row + 1]]
        return padded


def _within(segments_BT: Ids) -> Array:
    """What is added to attention `[B, 1, T, T]`: nothing where a token sees itself or one before it in its segment."""
    same = segments_BT[:, :, None] == segments_BT[:, None, :]
    seen = same & np.tri(segments_BT.shape[1], dtype=bool)
    return np.where(seen, np.float32(0), np.finfo(np.float32).min)[:, None]


def _positions(segments_BT: Ids) -> Ids:
    """The place of each token in its segment."""
    places = np.arange(segments_BT.shape[1])
    begins = np.diff(segments_BT, axis=1, prepend=-1) != 0
    return np.asarray(places - np.maximum.accumulate(np.where(begins, places, 0), axis=1), dtype=np.int64)


def following(ids: Sequence[int], learned: Sequence[bool]) -> list[int]:
    """What is to be learned at each token of a row: the next one, where that is learned."""
    ahead = [token if wanted else NO_LABEL for token, wanted in zip(ids[1:], learned[1:], strict=True)]
    return [*ahead, NO_LABEL]


Segment = tuple[list[int], list[int]]
"""Token ids and the label at each."""


def packed(documents: Iterable[Sequence[int]], length: int) -> Iterator[list[Segment]]:
    """Documents cut into rows of `length` tokens, the pieces of a row apart.

    A piece of one token teaches nothing: none begins in the last place of a row, and one that is left over is dropped.
    """
    row: list[Segment] = []
    room = length
    for document in documents:
        rest = list(document)
        while len(rest) > 1:
            piece, rest = rest[:room], rest[room:]
            row.append((piece, following(piece, [True] * len(piece))))
            room -= len(piece)
            if room < 2:
                yield row
                row, room = [], length
    if row:
        yield row
