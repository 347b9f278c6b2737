"""What the files that will be served are worth, measured through the code that will serve them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from job.dataset import Dataset
from job.tasks.task import Array, Targets, Task
from serving.predictor import Predictor

_RESAMPLES = 300
"""Bootstrap resamples of an interval."""
_TIMED_TEXTS = 100
"""Texts that are answered one by one to tell the time of an answer."""


@dataclass(frozen=True)
class Evaluation:
    """One variant on the test split."""

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    """95 % interval of the headline metric, and of accuracy where there is one."""
    details: list[Any]
    ms_per_text: float
    """Median milliseconds of one text alone."""
    rows: int


def logits_of(predictor: Predictor, data: Dataset) -> Array:
    """Logits `[N, L]` of all rows, from raw text, a batch at a time."""
    return np.concatenate([predictor.logits(texts) for texts, _ in data.batches()])


def evaluate(
    predictor: Predictor, data: Dataset, targets: Targets, task: Task, thresholds: Sequence[float] | None
) -> Evaluation:
    """Measure one loaded variant."""
    model = predictor.model
    logits = logits_of(predictor, data)
    metrics = task.metrics(logits, targets, model.problem, thresholds)
    headline = task.headline(model.problem)

    def measure(rows: Any) -> float:
        return task.metrics(logits[rows], targets[rows], model.problem, thresholds)[headline]

    intervals = {"accuracy": _wilson(metrics["accuracy"], len(targets))} if "accuracy" in metrics else {}
    if headline not in intervals:
        intervals[headline] = _bootstrap(measure, len(targets))
    details = [dict(row) for row in task.details(logits, targets, model.labels, thresholds)]
    return Evaluation(metrics, intervals, details, _time_alone(predictor, data), len(targets))


def _wilson(share: float, rows: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of independent rows."""
    found = binomtest(round(share * rows), rows).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def _bootstrap(measure: Callable[[Any], float], rows: int) -> tuple[float, float]:
    """The 2.5 and 97.5 percentile of the figure over rows drawn with replacement."""
    random = np.random.default_rng(0)
    figures = [measure(random.integers(0, rows, rows)) for _ in range(_RESAMPLES)]
    low, high = np.percentile(figures, [2.5, 97.5])
    return float(low), float(high)


def _time_alone(predictor: Predictor, data: Dataset) -> float:
    times = []
    for text in data.select(range(min(len(data), _TIMED_TEXTS))).texts():
        started = time.perf_counter()
        predictor.logits([text])
        times.append(time.perf_counter() - started)
    return float(np.median(times) * 1000)
