"""How unsure a version is of a row, from 0 to 1: by its margin, its entropy, or what another version says.

Axes: L labels, S tokens of a sentence. A sentence is as unsure as its tokens are on the mean.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.runtime.scores import scores
from tunewright.serving.runtime.session import Array

Doubt = Callable[[Array, str], float]
"""Logits `[L]` or `[S, L]` of a row and the problem that they answer, to how unsure they are."""


def margin(logits: Array, problem: str) -> float:
    """How near the two likeliest labels are; of several labels a row how near one of them is to even odds."""
    found = _probabilities(logits, problem)
    if problem == "multi_label":
        return float(1 - np.abs(2 * found - 1).min())
    two = np.sort(found, axis=-1)[..., -2:]
    return _mean(1 - (two[..., -1] - two[..., 0]))


def entropy(logits: Array, problem: str) -> float:
    """Entropy as a share of the most that there can be; of several labels a row their mean."""
    found = _probabilities(logits, problem)
    if problem == "multi_label":
        return float((_entropy(np.stack([found, 1 - found], axis=-1)) / np.log(2)).mean())
    return _mean(_entropy(found) / np.log(max(2, found.shape[-1])))


def disagreement(logits: Array, others: Array, problem: str) -> float:
    """Jensen-Shannon divergence of what two versions answer (Lin 1991), as a share of the most that there can be."""
    first, second = (_probabilities(one, problem) for one in (logits, others))
    if problem == "multi_label":
        first, second = (np.stack([one, 1 - one], axis=-1) for one in (first, second))
    apart = _entropy((first + second) / 2) - (_entropy(first) + _entropy(second)) / 2
    return _mean(apart / np.log(2))


DOUBTS: dict[str, Doubt] = {"margin": margin, "entropy": entropy}
"""Those that one version is enough for."""


def _probabilities(logits: Array, problem: str) -> NDArray[np.float64]:
    return scores(logits, "sigmoid" if problem == "multi_label" else "softmax").astype(np.float64)


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis, in nats."""
    return np.asarray(-(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=-1))


def _mean(values: NDArray[np.float64]) -> float:
    # A tokenizer may make no token of a sentence.
    return float(np.mean(values)) if np.size(values) else 0.0
