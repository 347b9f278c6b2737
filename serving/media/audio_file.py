"""Audio files to samples: what is decoded, and what that may cost.

Axes: T samples.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from tunewright.serving.errors import InputError, TooLarge
from tunewright.serving.request.files import MAX_BYTES

MAX_SECONDS = 600.0
"""Longest recording that is decoded, where the caller sets no other limit."""
MAX_CHANNELS = 8
"""Most channels that are mixed down to one."""
RATES = (1_000, 192_000)
"""Lowest and highest sampling rate in Hz."""

_STARTS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3")
_LOUDEST = 1e6
"""Full scale is 1; files of floats may be over it, but beyond this they hold something else than sound."""
_BLOCK = 1 << 16
"""Samples decoded at a time."""
_SAMPLE_BYTES = 4

Samples = NDArray[np.float32]
"""One channel, `[T]`; full scale is -1 to 1."""


def decode(
    data: bytes, *, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS, heard_seconds: float = MAX_SECONDS
) -> tuple[Samples, int]:
    """A WAV, FLAC, OGG or MP3 file as its samples and their rate in Hz; several channels are averaged to one.

    Of a recording longer than `heard_seconds` only the beginning is decoded. InputError when the file does not decode,
    TooLarge when it is too big or too long.
    """
    with _opened(data, max_bytes) as file:
        _check(file, max_seconds)
        samples, rate = _read(file, math.ceil(heard_seconds * file.samplerate)), int(file.samplerate)
    if not samples.size:
        raise InputError("the audio holds no samples")
    # Also true of NaN, which no comparison holds for.
    if not np.abs(samples).max() <= _LOUDEST:
        raise InputError(f"the audio holds samples that are no sound: NaN, or beyond {_LOUDEST:g} times full scale")
    return samples, rate


def unfolded(data: bytes) -> int:
    """Bytes that all samples of a file take once decoded, told from its header alone; InputError as in `decode`."""
    with _opened(data, MAX_BYTES) as file:
        return int(file.frames) * int(file.channels) * _SAMPLE_BYTES


@contextmanager
def _opened(data: bytes, max_bytes: int) -> Iterator[soundfile.SoundFile]:
    """A file whose header is read; a library's word against it is an InputError."""
    if len(data) > max_bytes:
        raise TooLarge(f"the audio has {len(data):,} bytes; the limit is {max_bytes:,}")
    if not (data.startswith(_STARTS) or _is_mpeg_frame(data)):
        raise InputError("the content is not audio that can be read; send WAV, FLAC, OGG or MP3")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            yield file
    except soundfile.LibsndfileError as error:
        reason = error.error_string.removeprefix("Error : ")
        raise InputError(f"the audio is damaged, cut off or of an unknown kind: {reason}") from error


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """The same sound at another sampling rate: soxr's HQ, which librosa uses too."""
    if from_rate == to_rate:
        return samples
    resampled: Samples = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return resampled


def _is_mpeg_frame(data: bytes) -> bool:
    """Eleven bits of ones begin every frame of an MP3 file."""
    return len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0


def _check(file: soundfile.SoundFile, max_seconds: float) -> None:
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise InputError(f"the audio has {file.samplerate} samples per second; {RATES[0]} to {RATES[1]} are read")
    if file.channels > MAX_CHANNELS:
        raise InputError(f"the audio has {file.channels} channels; the limit is {MAX_CHANNELS}")
    if file.frames > max_seconds * file.samplerate:
        seconds = file.frames / file.samplerate
        raise TooLarge(f"the audio lasts {seconds:.1f} s; the limit is {max_seconds:g} s")


def _read(file: soundfile.SoundFile, most: int) -> Samples:
    """The first samples, as far as they go: a header may promise more, or less. Block by block, so that the channels
    of a long file never lie side by side in memory."""
    mixed = [np.zeros(0, dtype=np.float32)]
    # Not `file.blocks()`: it fills up a short block with whatever was in memory.
    while most > 0 and len(block := file.read(min(_BLOCK, most), dtype="float32", always_2d=True)):
        mixed.append(block.mean(axis=1))
        most -= len(block)
    return np.concatenate(mixed)
