"""Whether explanations tell the truth: a score must fall soon when the parts are hidden that are said to carry it.

Parts are hidden one after the other, those of the largest weights first, and shown one after the other (deletion and
insertion of Petsiuk and others 2018, https://arxiv.org/abs/1806.07421). A figure is the mean score along the way. In
random orders the same parts give what an explanation must beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.explain.explaining import Steps, Weighed, values_of, weigh
from tunewright.serving.explain.shapley import Sets
from tunewright.serving.explain.subject import Asked
from tunewright.serving.predictor import Predictor

_STEPS = 10
"""Points of a curve after its first, where there are so many parts."""
_FEWEST_PARTS = 3
"""With fewer parts there is nothing to put in an order."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Mean scores along the way, of one input or of several on average."""

    deletion: float
    """Lower is better."""
    insertion: float
    """Higher is better."""
    random_deletion: float
    random_insertion: float


def curves(predictor: Predictor, one: object, asked: Asked) -> Steps[Curves | None]:
    """The curves of the first thing that is explained of an input; None where there is none, or it has few parts."""
    found = yield from weigh(predictor, one, asked)
    if not found.weighed or len(found.weighed[0].subject.parts) < _FEWEST_PARTS:
        return None
    return (yield from curves_of(found.weighed[0]))


def curves_of(weighed: Weighed) -> Steps[Curves]:
    """The curves of these weights."""
    parts = len(weighed.subject.parts)
    random = np.random.default_rng(parts)
    means: list[float] = []
    for order in (np.argsort(-weighed.weights_NK[:, 0], kind="stable"), random.permutation(parts)):
        for sets_SN in (_hidden(order), ~_hidden(order)):
            means.append((yield from _along(weighed, sets_SN)))
    return Curves(*means)


def mean_curves(several: Sequence[Curves]) -> Curves:
    """Those of several inputs, on average."""
    columns = [
        (one.deletion, one.insertion, one.random_deletion, one.random_insertion)
        for one in several
    ]  # fmt: skip
    return Curves(*np.mean(columns, axis=0).tolist())


def _hidden(order: NDArray[np.intp]) -> Sets:
    """Which parts are still shown after each step, `[S, N]`: all of them first, none last."""
    parts = len(order)
    counts = np.unique(np.linspace(0, parts, min(parts, _STEPS) + 1).round().astype(int))
    sets_SN = np.ones((len(counts), parts), dtype=bool)
    for number, count in enumerate(counts.tolist()):
        sets_SN[number, order[:count]] = False
    return sets_SN


def _along(weighed: Weighed, sets_SN: Sets) -> Steps[float]:
    """The mean score along the way from the first set to the last."""
    shares = sets_SN.mean(axis=1)
    values_SK = yield from values_of(weighed.subject, sets_SN)
    return float(abs(np.trapezoid(values_SK[:, 0], shares)))
