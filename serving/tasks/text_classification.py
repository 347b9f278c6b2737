"""Text classification, answered: logits `[L]` of L labels to `[{"label", "score"}]`, best first.

Single label: softmax over the labels. Multi label: sigmoid per label, and `predicted` says whether that reaches
the threshold that was tuned for the label. Both are of logits divided by the temperature of the variant.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.engines.task import Shapes
from tunewright.serving.engines.text import AnswerOf, LogitsEngine
from tunewright.serving.request import schema
from tunewright.serving.request.parameters import check_parameters
from tunewright.serving.request.texts import read_texts
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.scores import scores
from tunewright.serving.runtime.session import Array
from tunewright.serving.text.encoding import Text

Answer = list[dict[str, str | float | bool]]


class Parameters(BaseModel):
    """What a caller may set."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    top_k: int | None = Field(default=None, ge=1)
    """Return only the best so many labels; all of them when absent."""
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None
    """How logits become scores; the function the model was trained with when absent."""


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    return Shapes(
        item=schema.text_item(pair=model.pair),
        parameters=schema.schema_of(Parameters),
        answer=answer_shape(model),
        example=schema.text_example(pair=model.pair),
    )


def answer_shape(model: ModelFile) -> schema.Schema:
    """The labels of one input, of whatever kind it is."""
    properties: schema.Schema = {"label": schema.TEXT, "score": {"type": "number"}}
    if model.thresholds is not None:
        properties["predicted"] = {"type": "boolean", "description": "Whether the label's threshold is reached."}
    return schema.list_of(schema.closed(properties), minItems=1)


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[Text], bool]:
    """The texts of a request."""
    return read_texts(inputs, pair=model.pair)


def read_parameters(parameters: Mapping[str, object], model: ModelFile) -> Parameters:
    """Check a caller's parameters."""
    return check_parameters(Parameters, parameters, model.task)


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> LogitsEngine[Parameters]:
    """Load one variant."""
    return LogitsEngine(folder, model, variant, capacity, answer_of(model, variant))


def answer_of(model: ModelFile, variant: str) -> AnswerOf[Parameters]:
    """How one variant answers."""
    return partial(answer, temperature=model.variants[variant].temperature)


def answer(logits_L: Array, model: ModelFile, parameters: Parameters, temperature: float = 1.0) -> Answer:
    """The labels with their scores, best first."""
    function = parameters.function_to_apply or ("sigmoid" if model.problem == "multi_label" else "softmax")
    scores_L = scores(logits_L, function, temperature)
    order = np.argsort(-scores_L, kind="stable")[: parameters.top_k]
    items: Answer = [{"label": model.labels[index], "score": float(scores_L[index])} for index in order]
    if model.thresholds is not None:
        # A threshold holds for the sigmoid, whatever the caller applies.
        reached_L = scores(logits_L, "sigmoid", temperature) >= np.asarray(model.thresholds, dtype=np.float32)
        for item, index in zip(items, order, strict=True):
            item["predicted"] = bool(reached_L[index])
    return items
