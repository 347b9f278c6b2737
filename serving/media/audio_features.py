"""Samples to the numbers a model of sound reads: the only such code in the house, used by training too.

Axes: T samples, F frames, N samples of a frame, K frequencies, M mel bins, B rows of a batch.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.errors import InputError
from tunewright.serving.media.audio_file import Samples, decode, resample
from tunewright.serving.media.audio_processor import (
    KALDI_FRAME,
    KALDI_HOP,
    AudioPreprocessing,
    FilterBank,
    LogMel,
    Waveform,
)

_RESAMPLER_SECONDS = 1.0
"""How much further than a model hears a recording is decoded: far more than the resampler's filter reaches."""


def read(data: bytes, preprocessing: AudioPreprocessing) -> Samples:
    """What a model hears of a recording, at the model's own rate: no more of it is decoded than that, and a second."""
    heard_seconds = preprocessing.max_samples / preprocessing.sampling_rate + _RESAMPLER_SECONDS
    samples, rate = decode(data, heard_seconds=heard_seconds)
    return resample(samples, rate, preprocessing.sampling_rate)


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


def pad(
    rows: Sequence[NDArray[np.float32]], preprocessing: AudioPreprocessing
) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
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


def _waveform(samples: Samples, preprocessing: Waveform) -> NDArray[np.float32]:
    if not preprocessing.do_normalize:
        return samples
    normalized: NDArray[np.float32] = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    return normalized


_KALDI_FFT = 512
_KALDI_PREEMPHASIS = 0.97
_KALDI_FLOOR = float(np.finfo(np.float32).eps)


def _filter_bank(samples: Samples, preprocessing: FilterBank) -> NDArray[np.float32]:
    """`[max_length, M]`, as Kaldi's compute-fbank-feats with a Hann window: http://kaldi-asr.org/doc/feat.html."""
    frames_FN = _frames(samples, KALDI_FRAME, KALDI_HOP)
    frames_FN -= frames_FN.mean(axis=1, keepdims=True)
    # Kaldi also weakens the first sample, which the window makes 0.
    frames_FN[:, 1:] -= _KALDI_PREEMPHASIS * frames_FN[:, :-1]
    power_FK = _power(frames_FN * np.hanning(KALDI_FRAME), _KALDI_FFT)
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
    lowest, highest = _kaldi_mel(np.array([20.0, rate // 2]))
    return _triangles(_kaldi_mel(frequencies), np.linspace(lowest, highest, bins + 2))


@lru_cache(maxsize=8)
def _slaney_filters(bins: int, n_fft: int, rate: int) -> NDArray[np.float64]:
    """`[K, M]`: triangles of equal area, their corners evenly spaced on Slaney's mel scale up to 8 kHz."""
    lowest, highest = 0.0, _MEL_OF_1_KHZ + np.log(8.0) / _SLANEY_STEP
    corners = _slaney_hertz(np.linspace(lowest, highest, bins + 2))
    triangles_KM = _triangles(np.linspace(0, rate // 2, n_fft // 2 + 1), corners)
    return triangles_KM * (2.0 / (corners[2:] - corners[:-2]))


def _kaldi_mel(hertz: NDArray[np.floating]) -> NDArray[np.float64]:
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
