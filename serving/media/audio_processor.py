"""`preprocessor_config.json` of a model of sound: transformers' three kinds of features, with their settings."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from tunewright.serving.media.audio_file import MAX_SECONDS, RATES
from tunewright.serving.media.preprocessor_config import processor_class, read_settings

KALDI_FRAME, KALDI_HOP = 400, 160
"""Samples of a frame of a filter bank, and from one to the next."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

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
        return KALDI_FRAME

    @property
    def max_samples(self) -> int:
        """Samples that are read; what follows is cut off."""
        return KALDI_FRAME + self.max_length * KALDI_HOP - 1


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


def read_preprocessing(config: Mapping[str, object], *, model_type: str | None = None) -> AudioPreprocessing:
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
