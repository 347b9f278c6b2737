"""Text regression, answered: one number per text as `[{"label", "score"}]`, in the unit of the training data."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.engines.task import Shapes
from tunewright.serving.engines.text import LogitsEngine
from tunewright.serving.request import schema
from tunewright.serving.request.parameters import check_parameters
from tunewright.serving.request.texts import read_texts
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.session import Array
from tunewright.serving.text.encoding import Text

Answer = list[dict[str, str | float]]


class Parameters(BaseModel):
    """There is nothing to set."""

    model_config = ConfigDict(extra="forbid", strict=True)


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    return Shapes(
        item=schema.text_item(pair=model.pair),
        parameters=schema.schema_of(Parameters),
        answer=answer_shape(model),
        example=schema.text_example(pair=model.pair),
    )


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[Text], bool]:
    """The texts of a request."""
    return read_texts(inputs, pair=model.pair)


def read_parameters(parameters: Mapping[str, object], model: ModelFile) -> Parameters:
    """Check a caller's parameters."""
    return check_parameters(Parameters, parameters, model.task)


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> LogitsEngine[Parameters]:
    """Load one variant."""
    return LogitsEngine(folder, model, variant, capacity, answer)


def answer_shape(model: ModelFile) -> schema.Schema:
    """How the number comes."""
    number = schema.closed({"label": schema.TEXT, "score": {"type": "number"}})
    return schema.list_of(number, minItems=1, maxItems=1)


def answer(logits: Array, model: ModelFile, parameters: Parameters) -> Answer:
    """The number under the name of its column."""
    return [{"label": model.labels[0], "score": float(logits[0])}]
