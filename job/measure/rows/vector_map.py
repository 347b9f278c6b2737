"""Vectors of test rows as a person can look at them: as points of a plane, and by those nearest to them.

Axes: N rows, D numbers of a vector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.dataset import Dataset
from tunewright.job.measure.faithfulness import spread
from tunewright.serving.runtime.scores import normalized

if TYPE_CHECKING:
    from tunewright.serving.predictor import Predictor

MOST_ROWS = 300
"""Test rows whose vectors are looked at."""
NEAREST = 3
"""Other rows that are told of each."""

Value = str | Sequence[str]
Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class VectorMap:
    """Where the vectors of some test rows lie, of length 1 each."""

    variant: str
    rows: list[int]
    """Their numbers in the test side."""
    points: list[tuple[float, float]]
    """Along the two directions in which they differ most."""
    explained: float
    """Share of all that they differ by that lies along these two."""
    nearest: list[list[tuple[int, float]]]
    """Of each the other rows nearest to it, by their places in `rows`, with the cosine; the nearest first."""


def map_vectors(predictor: "Predictor", data: Dataset, served: Callable[[Value], object]) -> VectorMap:
    """The map of up to `MOST_ROWS` test rows, evenly spread. `served`: the task's."""
    rows = spread(len(data), MOST_ROWS)
    given = [served(value) for value in data.select(rows).inputs()]
    vectors = normalized(np.stack(predictor.outputs(given)))
    points, explained = plane(vectors)
    return VectorMap(predictor.variant, rows, [(x, y) for x, y in points.tolist()], explained, nearest(vectors))


def plane(vectors: Vectors) -> tuple[NDArray[np.float64], float]:
    """`[N, 2]` coordinates of `[N, D]` vectors by their principal components, and the share of the variance that they
    show. Of each direction that sign is taken which makes its largest coordinate positive."""
    middle = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(middle, full_matrices=False)
    found = np.zeros((len(vectors), 2))
    found[:, : min(2, len(sizes))] = (left * sizes)[:, :2]
    far = np.abs(found).argmax(axis=0)
    found *= np.where(found[far, [0, 1]] < 0, -1, 1)
    whole = float((sizes**2).sum())
    return found, float((sizes[:2] ** 2).sum()) / whole if whole else 1.0


def nearest(vectors: Vectors) -> list[list[tuple[int, float]]]:
    """Of each of `[N, D]` vectors of length 1 the others nearest to it, with their cosines."""
    cosine_NN = vectors @ vectors.T
    np.fill_diagonal(cosine_NN, -np.inf)
    order = np.argsort(-cosine_NN, axis=1, kind="stable")[:, : min(NEAREST, len(vectors) - 1)]
    return [[(other, float(cosine_NN[row, other])) for other in others] for row, others in enumerate(order.tolist())]
