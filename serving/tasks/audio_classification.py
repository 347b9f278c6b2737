"""Audio classification, answered: a recording's bytes to `[{"label", "score"}]`, best first."""

import base64
import io
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.engines.media import Batch, MediaEngine, MediaRow
from tunewright.serving.engines.task import Shapes
from tunewright.serving.engines.text import AnswerOf
from tunewright.serving.media.audio_features import features, pad, read
from tunewright.serving.media.audio_file import unfolded
from tunewright.serving.media.audio_processor import AudioPreprocessing
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


class Options(BaseModel):
    """What `model.json` says for this task alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    audio: AudioPreprocessing
    """From samples to what the model was trained on."""


Asked = TypeVar("Asked")
Opened = MediaEngine[bytes, Array, Parameters]


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    return Shapes(
        item=schema.file_item("audio"),
        parameters=parameters_shape(model),
        answer=answer_shape(model),
        example=silence(),
        body_bytes=BODY_BYTES,
    )


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[bytes], bool]:
    """The files of a request."""
    return read_files(inputs, "audio")


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> Opened:
    """Load one variant."""
    return open_recordings(folder, model, variant, capacity, answer_of(model, variant))


def open_recordings(
    folder: Path, model: ModelFile, variant: str, capacity: Capacity, answer: AnswerOf[Asked]
) -> MediaEngine[bytes, Array, Asked]:
    """Load one variant of a model that reads recordings. `answer`: logits to what a caller gets."""
    audio = read_options(Options, model).audio

    def collate(rows: Sequence[Array]) -> Batch:
        return pad(rows, audio)

    return MediaEngine(
        folder,
        model,
        variant,
        capacity,
        load=lambda data: load(data, audio),
        unfolded=unfolded,
        collate=collate,
        answer=answer,
    )


def silence() -> str:
    """A tenth of a second of it, as a WAV file in base64."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 1, 8000, 800, "NONE", ""))
        file.writeframes(b"\x80" * 800)
    return base64.b64encode(content.getvalue()).decode()


def load(data: bytes, audio: AudioPreprocessing) -> MediaRow[Array]:
    """A recording as the model reads it, at the model's sampling rate."""
    samples = read(data, audio)
    return MediaRow(features(samples, audio), truncated=len(samples) > audio.max_samples)
