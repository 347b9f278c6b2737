"""What a graph answers with, as numbers that are told: probabilities, their logarithms, vectors of the length 1."""

import math
from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.runtime.session import Array

Function = Literal["softmax", "sigmoid", "none"]
Float = TypeVar("Float", bound=np.floating)
FEW = 128
"""Numbers that are looked at one by one, without numpy."""
_SHORTEST = 1e-12
"""The least length by which a vector is divided."""


def tempered(logits: Array, temperature: float) -> Array:
    """Logits divided by the temperature of a variant, which makes their scores true."""
    return logits if temperature == 1.0 else np.asarray(logits / np.float32(temperature), dtype=np.float32)


def scores(logits: Array, function: Function, temperature: float = 1.0) -> Array:
    """Softmax over the last axis or sigmoid of each value, both of tempered logits, or the logits as they are."""
    if function == "none":
        return logits
    logits = tempered(logits, temperature)
    if function == "softmax":
        shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float32)
    # 1 / (1 + e^-x), written so that no logit overflows.
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits.astype(np.float64))), dtype=np.float32)


def listed(logits_L: Array, function: Function, temperature: float = 1.0) -> list[float]:
    """The scores of one row of L labels. Of few they are computed without numpy, of which little is left in the caches
    of a processor that has just run a graph: to bring it back takes ten times as long as the sums."""
    if function != "softmax" or len(logits_L) > FEW:
        found: list[float] = scores(logits_L, function, temperature).tolist()
        return found
    logits = logits_L.tolist()
    largest = max(logits)
    shifted = [math.exp((logit - largest) / temperature) for logit in logits]
    whole = sum(shifted)
    return [one / whole for one in shifted]


def log_softmax(logits: NDArray[Float]) -> NDArray[Float]:
    """The logarithm of the softmax over the last axis, in the precision of the logits."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(shifted, dtype=logits.dtype)


def cross_entropy(logits_TV: Array, tokens_T: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float64]:
    """How surprising each of T tokens is where the model gave these logits: `[T]`, natural logarithm."""
    places_T = np.arange(len(tokens_T))
    return -log_softmax(logits_TV.astype(np.float64))[places_T, np.asarray(tokens_T, dtype=np.int64)]


def normalized(vectors: NDArray[np.floating]) -> Array:
    """Vectors `[..., D]` scaled to the length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _SHORTEST), dtype=np.float32)
