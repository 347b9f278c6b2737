"""Images and recordings: squares of an image, slices of a recording, hidden by their mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tunewright.serving.bundle.model_file import read_options
from tunewright.serving.engines.media import MediaRow
from tunewright.serving.explain.labels import choose_target
from tunewright.serving.explain.parts import joined, told_words, words_of
from tunewright.serving.explain.shapley import Sets
from tunewright.serving.explain.subject import Answered, Asked, Subject, Told
from tunewright.serving.explain.texts import Hidden, hidden_tokens
from tunewright.serving.media.audio_features import read
from tunewright.serving.media.audio_processor import KALDI_HOP, FilterBank, LogMel, Waveform
from tunewright.serving.media.image_file import decode
from tunewright.serving.media.image_pixels import visible_box
from tunewright.serving.runtime.session import Array
from tunewright.serving.tasks import audio_classification, image_classification
from tunewright.serving.text.encoding import Encoder

_SQUARES_A_SIDE = 7
_SLICES = 16


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an array that is hidden together."""

    told: Told
    where: tuple[slice, ...]
    over: tuple[int, ...]
    """The axes of the array along which it is hidden by the mean."""


def image_subject(answered: Answered, asked: Asked) -> list[Subject]:
    """The label of an image, by its squares."""
    return _of_array(answered, _squares(answered, answered.input, answered.row.features, asked.most_parts), asked)


def audio_subject(answered: Answered, asked: Asked) -> list[Subject]:
    """The label of a recording, by slices of its time."""
    return _of_array(answered, _slices(answered, asked.most_parts), asked)


def image_text_subject(answered: Answered, asked: Asked) -> list[Subject]:
    """The label of an image with its text, by the squares of the one and the words of the other."""
    (data, text), row = answered.input, answered.row
    encoder: Encoder = answered.predictor.engine.encoder  # type: ignore[attr-defined]  # of this task's MediaEngine
    pixels, encoded = row.features
    target = choose_target(answered.output, answered.predictor, asked.target)
    squares = _squares(answered, data, pixels, asked.most_parts // 2)
    words = joined(words_of([text], encoder.places(text)), max(asked.most_parts - len(squares), 1))
    hide = Hidden(encoder)

    def masked(shown_N: Sets) -> MediaRow[Any]:
        picture = _without(pixels, squares, shown_N[: len(squares)])
        return MediaRow((picture, hide(encoded, hidden_tokens(words, shown_N[len(squares) :]))), row.truncated)

    parts = [*(square.told for square in squares), *told_words(words, [text])]
    return [Subject(parts, [target.told], target.whole, masked, target.value, target.is_share)]


def _of_array(answered: Answered, regions: Sequence[Region], asked: Asked) -> list[Subject]:
    row = answered.row
    target = choose_target(answered.output, answered.predictor, asked.target)

    def masked(shown_N: Sets) -> MediaRow[Array]:
        return MediaRow(_without(row.features, regions, shown_N), row.truncated)

    return [
        Subject([region.told for region in regions], [target.told], target.whole, masked, target.value, target.is_share)
    ]


def _without(values: Array, regions: Sequence[Region], shown_N: Sets) -> Array:
    """The array with the mean over what a region reaches across in all regions that are not shown."""
    hidden = values.copy()
    for number in np.flatnonzero(~shown_N).tolist():
        where = regions[number].where
        # Of an image each colour has its mean, of a spectrum each frequency; samples of sound have one.
        means = values.mean(axis=regions[number].over, keepdims=True)
        hidden[where] = np.broadcast_to(means, values.shape)[where]
    return hidden


def _squares(answered: Answered, data: bytes, pixels_3HW: Array, most: int) -> list[Region]:
    """The squares of what the model sees, with their edges as shares of the whole image."""
    options = read_options(image_classification.Options, answered.predictor.model)
    left, top, right, bottom = visible_box(decode(data).size, options.image)
    side = max(min(_SQUARES_A_SIDE, int(most**0.5)), 1)
    height, width = pixels_3HW.shape[1:]
    across, down = (right - left) / width, (bottom - top) / height
    return [
        Region(
            {
                "box": [
                    round(left + across * column.start, 4),
                    round(top + down * row.start, 4),
                    round(left + across * column.stop, 4),
                    round(top + down * row.stop, 4),
                ]
            },
            (slice(None), row, column),
            over=(1, 2),
        )
        for row in _cuts(height, side)
        for column in _cuts(width, side)
    ]


def _slices(answered: Answered, most: int) -> list[Region]:
    """Slices of what the model hears, with their seconds."""
    audio = read_options(audio_classification.Options, answered.predictor.model).audio
    features: Array = answered.row.features
    samples = min(len(read(answered.input, audio)), audio.max_samples)
    axis = 1 if isinstance(audio, LogMel) else 0
    hop = {Waveform: 1, FilterBank: KALDI_HOP}.get(type(audio)) or audio.hop_length  # type: ignore[union-attr]
    heard = max(min(samples // hop, features.shape[axis]), 1)
    seconds = samples / audio.sampling_rate
    return [
        Region(
            {"start": round(seconds * cut.start / heard, 3), "end": round(seconds * cut.stop / heard, 3)},
            (slice(None),) * axis + (cut,),
            over=(axis,),
        )
        for cut in _cuts(heard, min(_SLICES, most))
    ]


def _cuts(length: int, count: int) -> list[slice]:
    """A length in so many slices, as even as possible, none of them empty."""
    edges = np.unique(np.linspace(0, length, min(count, length) + 1).round().astype(int))
    return [slice(int(start), int(stop)) for start, stop in pairwise(edges)]
