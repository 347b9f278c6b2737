"""What the files that will be served are worth, measured through the code that will serve them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.job.batches.side import Array, Targets
from tunewright.job.data.dataset import Dataset
from tunewright.job.measure.calibration import Calibration
from tunewright.job.measure.labels import LabelFigures
from tunewright.job.measure.rows.answers import RowAnswers
from tunewright.job.train.objective import Scored
from tunewright.serving.predictor import Predictor

_RESAMPLES = 300
"""Bootstrap resamples of an interval."""
_TIMED_TEXTS = 100
"""Inputs that are answered one by one to tell the time of an answer."""
_TIMED_SECONDS = 30.0
"""No more are timed after so long."""


@dataclass(frozen=True)
class Evaluation:
    """One variant on the test split."""

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    """95 % interval of the headline metric, and of accuracy where there is one."""
    details: list[LabelFigures]
    ms_per_text: float
    """Median milliseconds of one input alone."""
    rows: int
    answers: RowAnswers | None = None
    """To each row, for the report; None where the task keeps none."""
    calibration: Calibration | None = None
    """How far its scores are from what they promise; None where the task has none that promise anything."""


def logits_of(predictor: Predictor, data: Dataset, served: Callable[[Any], object]) -> Array:
    """Raw outputs `[N, L]` of all rows, from raw inputs, a batch at a time. `served`: the task's."""
    batches = (list(map(served, inputs)) for inputs, _ in data.batches())
    return np.concatenate([np.stack(predictor.outputs(inputs)) for inputs in batches])


def gathered(scored: Scored) -> tuple[Array, Targets]:
    """Scored batches to the logits `[N, L]` and the targets of a whole side, in its order."""
    parts = [(rows, batch["targets"].cpu().numpy(), logits.cpu().numpy()) for rows, batch, logits in scored]
    order = np.argsort(np.concatenate([rows for rows, _, _ in parts]))
    logits, targets = (np.concatenate([part[at] for part in parts])[order] for at in (2, 1))
    return logits, targets


def evaluated(
    measure: Callable[[NDArray[np.int64]], dict[str, float]],
    rows: int,
    *,
    headline: str,
    details: Sequence[LabelFigures] = (),
    ms_per_text: float,
    answers: RowAnswers | None = None,
    calibration: Calibration | None = None,
) -> Evaluation:
    """Figures of all rows with their intervals. `measure` gives the figures of the rows with these numbers."""
    metrics = measure(np.arange(rows))
    intervals = {"accuracy": _wilson(metrics["accuracy"], rows)} if "accuracy" in metrics else {}
    if headline not in intervals:
        intervals[headline] = _bootstrap(lambda drawn: measure(drawn)[headline], rows)
    return Evaluation(metrics, intervals, list(details), ms_per_text, rows, answers, calibration)


def _wilson(share: float, rows: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of independent rows."""
    from scipy.stats import binomtest

    found = binomtest(round(share * rows), rows).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def _bootstrap(measure: Callable[[NDArray[np.int64]], float], rows: int) -> tuple[float, float]:
    """The 2.5 and 97.5 percentile of the figure over rows drawn with replacement."""
    random = np.random.default_rng(0)
    figures = [measure(random.integers(0, rows, rows)) for _ in range(_RESAMPLES)]
    low, high = np.percentile(figures, [2.5, 97.5])
    return float(low), float(high)


def time_alone(predictor: Predictor, data: Dataset, served: Callable[[Any], object]) -> float:
    """Median milliseconds of an answer to one input alone."""
    times: list[float] = []
    for value in data.select(range(min(len(data), _TIMED_TEXTS))).inputs():
        started = time.perf_counter()
        predictor.predict([served(value)])
        times.append(time.perf_counter() - started)
        if sum(times) > _TIMED_SECONDS:
            break
    return float(np.median(times) * 1000)
