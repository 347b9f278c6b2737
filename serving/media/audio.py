"""Audio files to the numbers a model of sound reads: the only audio code in the house, used by training too.

Axes: T samples, F frames, N samples of a frame, K frequencies, M mel bins, B rows of a batch.
"""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from tunewright.serving.errors import InputError, TooLarge
from tunewright.serving.media.preprocessor_config import processor_class, read_settings
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
_RESAMPLER_SECONDS = 1.0
"""How much further than a model hears a recording is decoded: far more than the resampler's filter reaches."""

Samples = NDArray[np.float32]
"""One channel, `[T]`; full scale is -1 to 1."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    sampling_rate: int = Field(default=16_000, ge=RATES[0], le=RATES[1])
    """Samples per second, in Hz, that the model was trained with."""
    padding_side: Literal["right"] = "right"
    """Where shorter rows are filled up."""


class Waveform(_Part):
    """Wav2Vec2FeatureExtractor: the samples themselves (Wav2Vec2, HuBERT, WavLM, ...)."""

    kind: Literal["waveform"] = "waveform"
    """Tells the three kinds apart."""
    feature_size: Literal[1] = 1
    """Numbers per sample."""
    do_normalize: StrictBool = True
    """Whether a row is shifted to mean 0 and scaled to variance 1."""
    padding_value: float = 0.0
    """Written where a shorter row has ended."""
    return_attention_mask: StrictBool = False
    """Whether the model is told which samples are padding."""
    max_seconds: float = Field(default=30.0, gt=0, le=MAX_SECONDS)
    """Longer audio is cut off after this time; transformers' file has no such limit."""
    min_samples: int = Field(default=400, gt=0)
    """What the model's convolutions make their first frame of; shorter audio is refused."""

    @property
    def max_samples(self) -> int:
        """Samples that are read; what follows is cut off."""
        return int(self.max_seconds * self.sampling_rate)


class FilterBank(_Part):
    """ASTFeatureExtractor: Kaldi's log-mel filter bank, 25 ms every 10 ms at 16 kHz."""

    kind: Literal["filter_bank"] = "filter_bank"
    """Tells the three kinds apart."""
    feature_size: Literal[1] = 1
    """Channels of the picture."""
    num_mel_bins: int = Field(default=128, gt=0, le=256)
    """Filters."""
    max_length: int = Field(default=1024, gt=0, le=16_384)
    """Frames: longer audio is cut off, shorter is filled up with zeros."""
    padding_value: float = Field(default=0.0, ge=0, le=0)
    """The fill; transformers always writes 0."""
    do_normalize: StrictBool = True
    """Whether `mean` and `std` are applied."""
    mean: float = -4.2677393
    """Subtracted; the default is AudioSet's."""
    std: float = Field(default=4.5689974, gt=0)
    """Divided by twice it; the default is AudioSet's."""

    @property
    def min_samples(self) -> int:
        """Samples of the first frame; shorter audio is refused."""
        return _KALDI_FRAME

    @property
    def max_samples(self) -> int:
        """Samples that are read; what follows is cut off."""
        return _KALDI_FRAME + self.max_length * _KALDI_HOP - 1


class LogMel(_Part):
    """WhisperFeatureExtractor: log-mel spectrum of a window of fixed length."""

    kind: Literal["log_mel"] = "log_mel"
    """Tells the three kinds apart."""
    feature_size: int = Field(default=80, gt=0, le=256)
    """Mel bins."""
    hop_length: int = Field(default=160, gt=0)
    """Samples from one frame to the next."""
    n_fft: int = Field(default=400, gt=1, le=8192)
    """Samples of a frame."""
    chunk_length: int = Field(default=30, gt=0, le=MAX_SECONDS)
    """Seconds of the window: longer audio is cut off, shorter is filled up."""
    padding_value: float = 0.0
    """The fill."""
    dither: float = Field(default=0.0, ge=0, le=0)
    """Noise added to the samples; none, as one input has one answer."""

    @property
    def min_samples(self) -> int:
        """Shorter audio is refused."""
        return 1

    @property
    def max_samples(self) -> int:
        """Samples that are read; what follows is cut off."""
        return self.chunk_length * self.sampling_rate


AudioPreprocessing = Annotated[Waveform | FilterBank | LogMel, Field(discriminator="kind")]
"""How samples become what the model was trained on; a field of a bundle's options."""


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
def _opened(data: bytes, max_bytes: int) -> Iterator[Any]:
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


def read(data: bytes, preprocessing: AudioPreprocessing) -> Samples:
    """What a model hears of a recording, at the model's own rate: no more of it is decoded than that, and a second."""
    heard_seconds = preprocessing.max_samples / preprocessing.sampling_rate + _RESAMPLER_SECONDS
    samples, rate = decode(data, heard_seconds=heard_seconds)
    return resample(samples, rate, preprocessing.sampling_rate)


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """The same sound at another sampling rate: soxr's HQ, which librosa uses too."""
    if from_rate == to_rate:
        return samples
    resampled: Samples = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return resampled


def features(samples: Samples, preprocessing: AudioPreprocessing) -> NDArray[np.float32]:
    """What the model reads of samples at its own rate: `[T]` of a waveform, `[F, M]` of a filter bank, `[M, F]` of a
    log-mel spectrum; cut to `max_samples`. InputError when they are fewer than `min_samples`.
    """
    if len(samples) < preprocessing.min_samples:
        raise InputError(
            f"the audio has {len(samples)} samples at {preprocessing.sampling_rate} Hz; "
            f"this model needs at least {preprocessing.min_samples}"
        )
    samples = samples[: preprocessing.max_samples]
    match preprocessing:
        case Waveform():
            return _waveform(samples, preprocessing)
        case FilterBank():
            return _filter_bank(samples, preprocessing)
        case LogMel():
            return _log_mel(samples, preprocessing)


def pad(rows: Sequence[NDArray[np.float32]], preprocessing: AudioPreprocessing) -> dict[str, NDArray[Any]]:
    """Features of several rows as one batch, by the names of the model's inputs in transformers.

    Rows of a waveform are filled up after they were normalized one by one, whether or not there is a mask:
    transformers normalizes the padding along where there is none, and a row's answer then depends on the others.
    """
    if isinstance(preprocessing, LogMel):
        return {"input_features": np.stack(rows)}
    if isinstance(preprocessing, FilterBank):
        return {"input_values": np.stack(rows)}
    lengths = np.array([len(row) for row in rows])
    values = np.full((len(rows), lengths.max()), preprocessing.padding_value, dtype=np.float32)
    for row_T, padded_T in zip(rows, values, strict=True):
        padded_T[: len(row_T)] = row_T
    if not preprocessing.return_attention_mask:
        return {"input_values": values}
    mask = np.arange(lengths.max()) < lengths[:, None]
    return {"input_values": values, "attention_mask": mask.astype(np.int64)}


def read_preprocessing(config: Mapping[str, Any], *, model_type: str | None = None) -> AudioPreprocessing:
    """The content of a `preprocessor_config.json` as the steps it stands for; ValueError when one is not known here.

    model_type: what the checkpoint's `config.json` says, for older files that name no class.
    """
    name = processor_class(config, _MODEL_TYPES, model_type=model_type)
    # What WhisperFeatureExtractor derives from the rest, and writes into the file all the same.
    told = {key: value for key, value in config.items() if key not in ("mel_filters", "n_samples", "nb_max_frames")}
    return read_settings(_KINDS[name], told, name)


_KINDS: dict[str, type[Waveform | FilterBank | LogMel]] = {
    "Wav2Vec2FeatureExtractor": Waveform,
    "ASTFeatureExtractor": FilterBank,
    "WhisperFeatureExtractor": LogMel,
}
_MODEL_TYPES = {
    "Wav2Vec2FeatureExtractor": (
        "wav2vec2",
        "wav2vec2-conformer",
        "hubert",
        "wavlm",
        "data2vec-audio",
        "sew",
        "sew-d",
        "unispeech",
        "unispeech-sat",
    ),
    "ASTFeatureExtractor": ("audio-spectrogram-transformer",),
    "WhisperFeatureExtractor": ("whisper",),
}


def _is_mpeg_frame(data: bytes) -> bool:
    """Eleven bits of ones begin every frame of an MP3 file."""
    return len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0


def _check(file: Any, max_seconds: float) -> None:
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise InputError(f"the audio has {file.samplerate} samples per second; {RATES[0]} to {RATES[1]} are read")
    if file.channels > MAX_CHANNELS:
        raise InputError(f"the audio has {file.channels} channels; the limit is {MAX_CHANNELS}")
    if file.frames > max_seconds * file.samplerate:
        seconds = file.frames / file.samplerate
        raise TooLarge(f"the audio lasts {seconds:.1f} s; the limit is {max_seconds:g} s")


def _read(file: Any, most: int) -> Samples:
    """The first samples, as far as they go: a header may promise more, or less. Block by block, so that the channels
    of a long file never lie side by side in memory."""
    mixed = [np.zeros(0, dtype=np.float32)]
    # Not `file.blocks()`: it fills up a short block with whatever was in memory.
    while most > 0 and len(block := file.read(min(_BLOCK, most), dtype="float32", always_2d=True)):
        mixed.append(block.mean(axis=1))
        most -= len(block)
    return np.concatenate(mixed)


def _waveform(samples: Samples, preprocessing: Waveform) -> NDArray[np.float32]:
    if not preprocessing.do_normalize:
        return samples
    normalized: NDArray[np.float32] = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    return normalized


_KALDI_FRAME, _KALDI_HOP, _KALDI_FFT = 400, 160, 512
_KALDI_PREEMPHASIS = 0.97
_KALDI_FLOOR = float(np.finfo(np.float32).eps)


def _filter_bank(samples: Samples, preprocessing: FilterBank) -> NDArray[np.float32]:
    """`[max_length, M]`, as Kaldi's compute-fbank-feats with a Hann window: http://kaldi-asr.org/doc/feat.html."""
    frames_FN = _frames(samples, _KALDI_FRAME, _KALDI_HOP)
    frames_FN -= frames_FN.mean(axis=1, keepdims=True)
    # Kaldi also weakens the first sample, which the window makes 0.
    frames_FN[:, 1:] -= _KALDI_PREEMPHASIS * frames_FN[:, :-1]
    power_FK = _power(frames_FN * np.hanning(_KALDI_FRAME), _KALDI_FFT)
    filters_KM = _kaldi_filters(preprocessing.num_mel_bins, preprocessing.sampling_rate)
    bank_MF = np.log(np.maximum(_KALDI_FLOOR, np.dot(filters_KM.T, power_FK.T)))
    bank_FM = np.zeros((preprocessing.max_length, preprocessing.num_mel_bins), dtype=np.float32)
    bank_FM[: bank_MF.shape[1]] = bank_MF.T
    if preprocessing.do_normalize:
        bank_FM = (bank_FM - preprocessing.mean) / (preprocessing.std * 2)
    return bank_FM


def _log_mel(samples: Samples, preprocessing: LogMel) -> NDArray[np.float32]:
    """`[M, F]`, as Whisper's log_mel_spectrogram: https://github.com/openai/whisper, whisper/audio.py."""
    missing = preprocessing.max_samples - len(samples)
    padded = np.pad(samples, (0, missing), constant_values=preprocessing.padding_value)
    centred = np.pad(padded, preprocessing.n_fft // 2, mode="reflect")
    frames_FN = _frames(centred, preprocessing.n_fft, preprocessing.hop_length)
    power_FK = _power(frames_FN * np.hanning(preprocessing.n_fft + 1)[:-1], preprocessing.n_fft)
    filters_KM = _slaney_filters(preprocessing.feature_size, preprocessing.n_fft, preprocessing.sampling_rate)
    log_MF = np.log10(np.maximum(1e-10, np.dot(filters_KM.T, power_FK.T))).astype(np.float32)[:, :-1]
    scaled: NDArray[np.float32] = (np.maximum(log_MF, log_MF.max() - 8.0) + 4.0) / 4.0
    return scaled


def _frames(samples: Samples, length: int, hop: int) -> NDArray[np.float64]:
    """Overlapping pieces, `[F, N]`; an incomplete one at the end is left out."""
    return np.lib.stride_tricks.sliding_window_view(samples, length)[::hop].astype(np.float64)


def _power(frames_FN: NDArray[np.float64], fft_length: int) -> NDArray[np.float64]:
    """Power spectrum `[F, K]`, rounded to single precision before it is squared, as transformers does."""
    spectrum_FK = np.fft.rfft(frames_FN, n=fft_length).astype(np.complex64)
    return np.abs(spectrum_FK, dtype=np.float64) ** 2


@lru_cache(maxsize=8)
def _kaldi_filters(bins: int, rate: int) -> NDArray[np.float64]:
    """`[K, M]`: triangles of equal width on Kaldi's mel scale, from 20 Hz to half the sampling rate."""
    frequencies = rate / _KALDI_FFT * np.arange(_KALDI_FFT // 2 + 1)
    lowest, highest = _kaldi_mel(np.array([20, rate // 2]))
    return _triangles(_kaldi_mel(frequencies), np.linspace(lowest, highest, bins + 2))


@lru_cache(maxsize=8)
def _slaney_filters(bins: int, n_fft: int, rate: int) -> NDArray[np.float64]:
    """`[K, M]`: triangles of equal area, their corners evenly spaced on Slaney's mel scale up to 8 kHz."""
    lowest, highest = 0.0, _MEL_OF_1_KHZ + np.log(8.0) / _SLANEY_STEP
    corners = _slaney_hertz(np.linspace(lowest, highest, bins + 2))
    triangles_KM = _triangles(np.linspace(0, rate // 2, n_fft // 2 + 1), corners)
    return triangles_KM * (2.0 / (corners[2:] - corners[:-2]))


def _kaldi_mel(hertz: NDArray[Any]) -> NDArray[np.float64]:
    mel: NDArray[np.float64] = 1127.0 * np.log(1.0 + hertz / 700.0)
    return mel


_MEL_OF_1_KHZ = 15.0
_SLANEY_STEP = np.log(6.4) / 27.0


def _slaney_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's Auditory Toolbox: 200/3 Hz per mel up to 1 kHz, from there a factor of 6.4 in 27 mel."""
    above = 1000.0 * np.exp(_SLANEY_STEP * (mel - _MEL_OF_1_KHZ))
    return np.where(mel < _MEL_OF_1_KHZ, 200.0 * mel / 3.0, above)


def _triangles(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[K, M]`: filter m rises from corner m to 1 at corner m+1 and falls to 0 at corner m+2."""
    widths = np.diff(corners)
    rising = (points[:, None] - corners[:-2]) / widths[:-1]
    falling = (corners[2:] - points[:, None]) / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling))
