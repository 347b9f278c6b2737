"""Image and text together, classified: a file's bytes and a text to `[{"label", "score"}]`, best first."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.engines.media import Batch, MediaEngine, MediaRow
from tunewright.serving.engines.task import Shapes
from tunewright.serving.engines.text import open_encoder
from tunewright.serving.errors import InputError, shown
from tunewright.serving.media.image_file import decode, unfolded
from tunewright.serving.media.image_pixels import ImagePreprocessing, pixels
from tunewright.serving.request import schema
from tunewright.serving.request.files import BODY_BYTES, read_file
from tunewright.serving.request.several import read_several
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.session import Array
from tunewright.serving.tasks.image_classification import EXAMPLE, Options
from tunewright.serving.tasks.text_classification import (
    Parameters,
    answer_of,
    answer_shape,
    parameters_shape,
    read_parameters,
)
from tunewright.serving.text.encoding import Encoded, Encoder, check_inputs

__all__ = ["open_engine", "read_inputs", "read_parameters", "shapes"]

Input = tuple[bytes, str]
"""An image file and a text."""
Features = tuple[Array, Encoded]
"""Pixels `[3, H, W]` and token ids."""

Opened = MediaEngine[Input, Features, Parameters]


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    return Shapes(
        item=schema.closed({"image": schema.FILE, "text": schema.TEXT}),
        parameters=parameters_shape(model),
        answer=answer_shape(model),
        example={"image": EXAMPLE, "text": "What is this?"},
        body_bytes=BODY_BYTES,
    )


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[Input], bool]:
    """The images and texts of a request."""
    return read_several(inputs, _read_input, "image with its text")


def _read_input(item: object, place: str) -> Input:
    match item:
        case {"image": image, "text": str(text), **rest} if not rest:
            return read_file(image, "image", f"{place}.image"), text
    raise InputError(f'{place} is {shown(item)}; this model reads {{"image": base64, "text": ...}}')


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> Opened:
    """Load one variant."""
    image = read_options(Options, model).image
    encoder = open_encoder(folder, model)
    engine: Opened = MediaEngine(
        folder,
        model,
        variant,
        capacity,
        load=lambda one: load(one, encoder, image),
        unfolded=lambda one: unfolded(one[0]),
        collate=lambda rows: collate(rows, encoder),
        answer=answer_of(model, variant),
        encoder=encoder,
    )
    check_inputs(name for name in engine.session.inputs if name != "pixel_values")
    return engine


def load(one: Input, encoder: Encoder, image: ImagePreprocessing) -> MediaRow[Features]:
    """Pixels and token ids of one input."""
    data, text = one
    (row,) = encoder.encode([text])
    return MediaRow((pixels(decode(data), image), row), row.truncated)


def collate(rows: Sequence[Features], encoder: Encoder) -> Batch:
    """Pixels `[B, 3, H, W]` and token ids `[B, T]`."""
    texts = encoder.pad([row for _, row in rows], ("input_ids", "attention_mask"))
    return {"pixel_values": np.stack([picture for picture, _ in rows]), **texts}
