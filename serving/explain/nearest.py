"""Which training rows an input is nearest to, by the vectors of which the served graph makes its answers."""

from dataclasses import replace
from typing import Any

from tunewright.serving.bundle.neighbours import Neighbours
from tunewright.serving.errors import InputError
from tunewright.serving.explain.explaining import Explanation, Steps
from tunewright.serving.explain.labels import choose_target
from tunewright.serving.predictor import Predictor

ROWS = 2
"""Rows of the model that it takes: one for the answer, one for the vector."""


def require_neighbours(predictor: Predictor) -> Neighbours:
    """The rows that the version carries; InputError where it has none."""
    if predictor.neighbours is None:
        raise InputError(
            "this version carries no training rows to compare an input with: train one with export.neighbours, or ask "
            "for the method 'masking'"
        )
    return predictor.neighbours


def nearest(predictor: Predictor, one: object, count: int) -> Steps[Explanation]:
    """The answer to one input, with the training rows that are nearest to it."""
    rows: Any = predictor.prepare([one], predictor.task.read_parameters({}, predictor.model))
    output, vector_D = yield [*rows, *(replace(row, wants_vector=True) for row in rows)]
    target = choose_target(output, predictor, None)
    found = require_neighbours(predictor).nearest(vector_D, count)
    return {**target.told, "score": float(target.whole[0]), "neighbours": found, "rows": ROWS}
