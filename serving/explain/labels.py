"""Which of a model's numbers is explained, for tasks that give one row of logits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tunewright.serving.errors import InputError, shown
from tunewright.serving.explain.shapley import Numbers
from tunewright.serving.explain.subject import Told
from tunewright.serving.predictor import Predictor
from tunewright.serving.runtime.scores import Function, scores
from tunewright.serving.runtime.session import Array


@dataclass(frozen=True, slots=True)
class Target:
    """A label, and its score in what the model gave for a row."""

    told: Told
    whole: Numbers
    """Its score for the whole input, `[1]`."""
    value: Callable[[Array], Numbers]
    """Logits `[L]` to the score, `[1]`."""
    is_share: bool
    """Whether the score is a probability."""


def choose_target(logits_L: Array, predictor: Predictor, asked: str | None) -> Target:
    """The label asked for, or the best one; InputError for a label that the model does not have."""
    model, temperature = predictor.model, predictor.temperature
    function: Function = {"regression": "none", "multi_label": "sigmoid"}.get(model.problem, "softmax")  # type: ignore[assignment]
    if asked is not None and asked not in model.labels:
        raise InputError(f"parameter 'target' is {shown(asked)}; this model's labels are: {', '.join(model.labels)}")
    label = int(np.argmax(logits_L)) if asked is None else model.labels.index(asked)

    def value(output_L: Array) -> Numbers:
        return np.asarray(scores(output_L, function, temperature)[[label]], dtype=np.float64)

    return Target({"target": model.labels[label]}, value(logits_L), value, function != "none")
