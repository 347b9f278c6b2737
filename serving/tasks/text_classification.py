"""Text classification, answered: logits `[L]` of L labels to `[{"label", "score"}]`, best first.

Single label: softmax over the labels. Multi label: sigmoid per label, and `predicted` says whether that reaches
the threshold that was tuned for the label. Both are of logits divided by the temperature of the variant.

Where a caller asks for it, an answer that is not sure enough is `[{"label": None, "score"}]`.
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
from tunewright.serving.errors import InputError
from tunewright.serving.request import schema
from tunewright.serving.request.parameters import check_parameters
from tunewright.serving.request.texts import read_texts
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.scores import listed, scores
from tunewright.serving.runtime.session import Array
from tunewright.serving.text.encoding import Text

Answer = list[dict[str, str | float | bool | None]]


class Parameters(BaseModel):
    """What a caller may set."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    top_k: int | None = Field(default=None, ge=1)
    """Return only the best so many labels; all of them when absent."""
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None
    """How logits become scores; the function the model was trained with when absent."""
    min_score: float | None = Field(default=None, ge=0, le=1)
    """Of one label a row: answer the label `null`, with the score of the best one, where that is below so much by
    softmax."""
    abstain: bool = False
    """The same by the `min_score` that the version holds (`export.abstain` of its job); of two scores the higher one
    counts."""

    @property
    def bounded(self) -> bool:
        """Whether an answer that is not sure enough names no label."""
        return self.abstain or self.min_score is not None


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    return Shapes(
        item=schema.text_item(pair=model.pair),
        parameters=parameters_shape(model),
        answer=answer_shape(model),
        example=schema.text_example(pair=model.pair),
    )


def parameters_shape(model: ModelFile) -> schema.Schema:
    """The parameters that this model takes: not of several labels, or without a score of its own, all of them."""
    shape = schema.schema_of(Parameters)
    unknown = {"abstain"} if _without_score(model) else set()
    if model.problem != "single_label":
        unknown = {"abstain", "min_score"}
    return shape | {"properties": {name: one for name, one in shape["properties"].items() if name not in unknown}}


def answer_shape(model: ModelFile) -> schema.Schema:
    """The labels of one input, of whatever kind it is."""
    properties: schema.Schema = {"label": schema.TEXT, "score": {"type": "number"}}
    if model.problem == "single_label":
        told = "Null only where min_score or abstain is sent and the best score is below it."
        properties["label"] = {**schema.nullable(schema.TEXT), "description": told}
    if model.thresholds is not None:
        properties["predicted"] = {"type": "boolean", "description": "Whether the label's threshold is reached."}
    return schema.list_of(schema.closed(properties), minItems=1)


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[Text], bool]:
    """The texts of a request."""
    return read_texts(inputs, pair=model.pair)


def read_parameters(parameters: Mapping[str, object], model: ModelFile) -> Parameters:
    """Check a caller's parameters."""
    checked = check_parameters(Parameters, parameters, model.task)
    if checked.bounded:
        _check_bounded(checked, model)
    return checked


def _check_bounded(asked: Parameters, model: ModelFile) -> None:
    if model.problem != "single_label":
        raise InputError(
            "min_score and abstain are for one label a row; of several labels each has a threshold, and 'predicted' "
            "says whether it is reached"
        )
    if asked.abstain and (without := _without_score(model)):
        raise InputError(
            f"abstain takes the min_score of the version, which has none for {', '.join(without)}; send min_score, or "
            "train a version with export.abstain"
        )


def _without_score(model: ModelFile) -> list[str]:
    """The variants that hold no score to abstain by."""
    return [name for name, variant in model.variants.items() if variant.min_score is None]


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> LogitsEngine[Parameters]:
    """Load one variant."""
    return LogitsEngine(folder, model, variant, capacity, answer_of(model, variant))


def answer_of(model: ModelFile, variant: str) -> AnswerOf[Parameters]:
    """How one variant answers."""
    held = model.variants[variant]
    return partial(answer, temperature=held.temperature, min_score=held.min_score)


def answer(
    logits_L: Array,
    model: ModelFile,
    parameters: Parameters,
    temperature: float = 1.0,
    min_score: float | None = None,
) -> Answer:
    """The labels with their scores, best first; no label where a caller asks for none that is not sure enough.
    `min_score`: that of the variant."""
    function = parameters.function_to_apply or ("sigmoid" if model.problem == "multi_label" else "softmax")
    scores_L = listed(logits_L, function, temperature)
    if parameters.bounded:
        least = max(parameters.min_score or 0, (min_score or 0) if parameters.abstain else 0)
        if scores(logits_L, "softmax", temperature).max() < least:
            return [{"label": None, "score": max(scores_L)}]
    order = sorted(range(len(scores_L)), key=scores_L.__getitem__, reverse=True)[: parameters.top_k]
    items: Answer = [{"label": model.labels[index], "score": scores_L[index]} for index in order]
    if model.thresholds is not None:
        # A threshold holds for the sigmoid, whatever the caller applies.
        reached_L = scores(logits_L, "sigmoid", temperature) >= np.asarray(model.thresholds, dtype=np.float32)
        for item, index in zip(items, order, strict=True):
            item["predicted"] = bool(reached_L[index])
    return items
