"""Image regression, answered: one number per image as `[{"label", "score"}]`, in the unit of the training data."""

from pathlib import Path

from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.engines.media import MediaEngine
from tunewright.serving.engines.task import Shapes
from tunewright.serving.request import schema
from tunewright.serving.request.files import BODY_BYTES
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.session import Array
from tunewright.serving.tasks.image_classification import EXAMPLE, open_images, read_inputs
from tunewright.serving.tasks.text_regression import Parameters, answer, answer_shape, read_parameters

__all__ = ["open_engine", "read_inputs", "read_parameters", "shapes"]


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    return Shapes(
        item=schema.file_item("image"),
        parameters=schema.schema_of(Parameters),
        answer=answer_shape(model),
        example=EXAMPLE,
        body_bytes=BODY_BYTES,
    )


def open_engine(
    folder: Path, model: ModelFile, variant: str, capacity: Capacity
) -> MediaEngine[bytes, Array, Parameters]:
    """Load one variant."""
    return open_images(folder, model, variant, capacity, answer)
