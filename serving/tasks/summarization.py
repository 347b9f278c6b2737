"""Summarization, answered: what a text says in fewer words, as the `summarization` pipeline gives it."""

from collections.abc import Mapping
from pathlib import Path

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.engines import text_to_text
from tunewright.serving.engines.task import Shapes
from tunewright.serving.request import schema
from tunewright.serving.request.texts import read_texts
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.text.encoding import Text

_KEY = "summary_text"


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    return Shapes(
        item=schema.text_item(pair=False),
        parameters=schema.schema_of(text_to_text.Parameters),
        answer=schema.closed({_KEY: schema.TEXT}),
        example="The meeting began at nine. Nobody had read the report, so it was read aloud. It ended at noon.",
        example_parameters={"max_new_tokens": 8, "min_new_tokens": 0},
    )


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[Text], bool]:
    """The texts of a request."""
    return read_texts(inputs, pair=False)


def read_parameters(parameters: Mapping[str, object], model: ModelFile) -> text_to_text.Parameters:
    """A caller's parameters over what the bundle says."""
    return text_to_text.read_settings_over(model, parameters)


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> text_to_text.TextToTextEngine:
    """Load one variant."""
    return text_to_text.TextToTextEngine(folder, model, variant, capacity, _KEY)
