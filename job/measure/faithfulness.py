"""Whether the explanations of a file tell the truth, on test rows: `serving/explain/faithfulness.py`, averaged."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.job.data.dataset import Dataset
from tunewright.serving.explain.explaining import run_steps
from tunewright.serving.explain.faithfulness import curves, mean_curves
from tunewright.serving.explain.kinds import is_explainable
from tunewright.serving.explain.subject import Asked
from tunewright.serving.predictor import Predictor

BUDGET = 64
"""Rows of the model for one explanation, as many as the server takes where nobody says."""
_MOST_SECONDS = 30.0
"""No more rows are explained after so long."""


@dataclass(frozen=True)
class Faithfulness:
    """Mean scores while the parts of an input are hidden, or shown, one after the other."""

    deletion: float
    """Those first that an explanation says carry the score: lower is better."""
    insertion: float
    """The same, shown: higher is better."""
    random_deletion: float
    """In random orders."""
    random_insertion: float
    rows: int
    """Test rows that were explained: those with parts enough to be put in an order."""
    variant: str

    @property
    def is_better(self) -> bool:
        """Whether explanations are better than random ones, hidden and shown."""
        return self.deletion < self.random_deletion and self.insertion > self.random_insertion


def measure_faithfulness(
    predictor: Predictor, data: Dataset, served: Callable[[Any], object], rows: int
) -> Faithfulness | None:
    """The figures over so many rows, evenly spread; None where there is nothing to explain. `served`: the task's."""
    if not is_explainable(predictor) or not rows or not len(data):
        return None
    started, found = time.monotonic(), []
    for value in data.select(spread(len(data), rows)).inputs():
        if time.monotonic() - started > _MOST_SECONDS:
            break
        if (one := run_steps(predictor, curves(predictor, served(value), Asked(BUDGET)))) is not None:
            found.append(one)
    if not found:
        return None
    mean = mean_curves(found)
    return Faithfulness(
        mean.deletion, mean.insertion, mean.random_deletion, mean.random_insertion, len(found), predictor.variant
    )


def spread(length: int, count: int) -> list[int]:
    """Up to `count` positions of a split, evenly spread."""
    places: Iterable[int] = np.unique(np.linspace(0, length - 1, min(length, count)).astype(int)).tolist()
    return list(places)
