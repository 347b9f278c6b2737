"""Whether answers stay where texts are only written otherwise, on test rows, by the file that is served.

Axes: N rows, L labels.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.dataset import Dataset, strings
from tunewright.job.measure.faithfulness import spread
from tunewright.job.measure.labels import answered
from tunewright.job.measure.rows.altered import ALTERATIONS, altered
from tunewright.job.measure.rows.intervals import share
from tunewright.serving.runtime.scores import tempered

if TYPE_CHECKING:
    from tunewright.serving.predictor import Predictor

Value = str | tuple[str, ...]
MOST_ROWS = 500
"""Test rows that are changed."""
MOST_SECONDS = 30.0
"""No more rows are changed after so long."""
_BLOCKS = 10


@dataclass(frozen=True)
class Flips:
    """What one kind of change does to answers."""

    rows: int
    """Test rows that it changes."""
    flipped: int
    """Those of them that are answered otherwise."""
    share: float
    interval: tuple[float, float]
    """95 %, Wilson's; from 0 to 1 where it changes no row."""


@dataclass(frozen=True)
class Robustness:
    """What each of `ALTERATIONS` does to the answers of one variant."""

    variant: str
    rows: int
    """Test rows that were looked at."""
    kinds: dict[str, Flips]


def measure_robustness(predictor: "Predictor", data: Dataset, served: Callable[[Value], object]) -> Robustness:
    """How many answers change, over up to `MOST_ROWS` rows, evenly spread. `data`: at least one row of a text or of
    several; `served`: the task's."""
    places, started, looked = spread(len(data), MOST_ROWS), time.monotonic(), 0
    counts = {kind: [0, 0] for kind in ALTERATIONS}
    # Each block is spread evenly too, so that the first ones speak for all.
    for block in (places[first::_BLOCKS] for first in range(min(_BLOCKS, len(places)))):
        if looked and time.monotonic() - started > MOST_SECONDS:
            break
        looked += len(block)
        for kind, is_other in _compared(predictor, data, block, served):
            counts[kind][0] += 1
            counts[kind][1] += is_other
    return Robustness(predictor.variant, looked, {kind: _flips(*count) for kind, count in counts.items()})


def _compared(
    predictor: "Predictor", data: Dataset, places: list[int], served: Callable[[Value], object]
) -> list[tuple[str, bool]]:
    """For each change of each row its kind, and whether the answer is another one."""
    values: list[Value] = data.select(places).inputs()
    asked, changes = list(values), []
    for at, (place, value) in enumerate(zip(places, values, strict=True)):
        texts = list(strings(value))
        for kind in ALTERATIONS:
            made = altered(kind, texts, place)
            if made != texts:
                changes.append((kind, at))
                asked.append(made[0] if isinstance(value, str) else tuple(made))
    said = _said(predictor, list(map(served, asked)))
    others = said[len(values) :]
    return [(kind, bool((said[at] != other).any())) for (kind, at), other in zip(changes, others, strict=True)]


def _said(predictor: "Predictor", inputs: list[object]) -> NDArray[np.generic]:
    """`[N, 1]` label numbers, or `[N, L]` zeros and ones."""
    model = predictor.model
    logits = tempered(np.stack(predictor.outputs(inputs)), predictor.temperature)
    said = answered(logits, np.zeros_like(logits), model.problem, model.thresholds).predicted
    return np.asarray(said).reshape(len(inputs), -1)


def _flips(rows: int, flipped: int) -> Flips:
    found = share(flipped, rows)
    return Flips(rows, flipped, found.value, (found.low, found.high))
