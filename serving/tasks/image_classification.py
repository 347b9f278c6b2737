"""Image classification, answered: a file's bytes to `[{"label", "score"}]`, best first."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.engines.media import Batch, MediaEngine, MediaRow
from tunewright.serving.engines.task import Shapes
from tunewright.serving.engines.text import AnswerOf
from tunewright.serving.media.image_file import decode, unfolded
from tunewright.serving.media.image_pixels import ImagePreprocessing, pixels
from tunewright.serving.request import schema
from tunewright.serving.request.files import BODY_BYTES, read_files
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.session import Array
from tunewright.serving.tasks.text_classification import (
    Parameters,
    answer_of,
    answer_shape,
    parameters_shape,
    read_parameters,
)

__all__ = ["open_engine", "read_inputs", "read_parameters", "shapes"]

EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGNsYIAAJgaKGAAmCACQXTClHgAAAABJRU5ErkJggg=="
"""A small grey square as a PNG."""


class Options(BaseModel):
    """What `model.json` says for this task alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    image: ImagePreprocessing
    """From pixels to what the model was trained on."""


Asked = TypeVar("Asked")
Opened = MediaEngine[bytes, Array, Parameters]


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    return Shapes(
        item=schema.file_item("image"),
        parameters=parameters_shape(model),
        answer=answer_shape(model),
        example=EXAMPLE,
        body_bytes=BODY_BYTES,
    )


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[bytes], bool]:
    """The files of a request."""
    return read_files(inputs, "image")


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> Opened:
    """Load one variant."""
    return open_images(folder, model, variant, capacity, answer_of(model, variant))


def open_images(
    folder: Path, model: ModelFile, variant: str, capacity: Capacity, answer: AnswerOf[Asked]
) -> MediaEngine[bytes, Array, Asked]:
    """Load one variant of a model that reads images. `answer`: logits to what a caller gets."""
    image = read_options(Options, model).image

    def load(data: bytes) -> MediaRow[Array]:
        return MediaRow(pixels(decode(data), image))

    return MediaEngine(folder, model, variant, capacity, load=load, unfolded=unfolded, collate=collate, answer=answer)


def collate(rows: Sequence[Array]) -> Batch:
    """Pixels `[B, 3, H, W]`."""
    return {"pixel_values": np.stack(rows)}
