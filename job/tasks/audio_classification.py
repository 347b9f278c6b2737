"""Audio classification, taught: recordings to one label or several; each at the sampling rate of the base model."""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import soundfile  # type: ignore[import-untyped]
from torch import nn
from transformers import AutoModelForAudioClassification

from tunewright.job.batches.side import Rows
from tunewright.job.data.columns import Form
from tunewright.job.kinds.media import MediaEncoder, MediaTask
from tunewright.job.kinds.task import Plan
from tunewright.job.model.base_model import BaseModel
from tunewright.job.progress import say
from tunewright.job.settings.job import JobSettings
from tunewright.serving.bundle.model_file import Variant
from tunewright.serving.engines.media import Batch
from tunewright.serving.media.audio import AudioPreprocessing, decode, pad, read_preprocessing
from tunewright.serving.tasks.audio_classification import load


class AudioClassification(MediaTask):
    """Recordings to labels."""

    FORMS = (Form(("audio",), target="label"), Form(("audio",), target="labels"))
    MEDIA = "audio"
    SUBJECT = "a recording"
    EXPORT_TASK = "audio-classification"
    AUTO_CLASS = AutoModelForAudioClassification
    ROOM = 32 * 16_000

    def architectures(self) -> tuple[str, ...]:
        """Those whose graph was compared with torch."""
        return ("audio-spectrogram-transformer", "hubert", "wav2vec2", "whisper")

    def size(self, data: bytes) -> int:
        """Samples."""
        samples, _ = decode(data)
        return len(samples)

    def make_encoder(
        self, config: dict[str, Any], model_type: str, settings: JobSettings, base: BaseModel
    ) -> MediaEncoder:
        """Resample and transform as the base model's feature extractor does."""
        audio: AudioPreprocessing = read_preprocessing(config, model_type=model_type)

        def collate(rows: Sequence[Any]) -> Batch:
            return pad(rows, audio)

        return MediaEncoder({"audio": audio.model_dump(mode="json")}, lambda data: load(data, audio), collate)

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> Rows:
        """Where the recordings are; those at another sampling rate than the model's are counted and told."""
        inputs = getattr(plan.prepared, side).data.inputs()
        wanted = plan.encoder.options["audio"]["sampling_rate"]
        rates = Counter(soundfile.info(io.BytesIO(self.served(one))).samplerate for one in inputs)
        others = {rate: count for rate, count in sorted(rates.items()) if rate != wanted}
        if others:
            which = ", ".join(f"{count:,} at {rate:,} Hz" for rate, count in others.items())
            say("encode", f"{side}: recordings are resampled to {wanted:,} Hz: {which}")
        return super().encode(plan, side, folder, on_rows)

    def build_model(self, plan: Plan) -> nn.Module:
        """The base with a new head; its masking of spans is for pretraining, and fails on short recordings."""
        model = super().build_model(plan)
        model.config.apply_spec_augment = False  # type: ignore[union-attr]
        return model

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph a variant; a recording runs alone, since some models read the padding of a shorter one."""
        made = super().export(model, plan, folder, variants)
        return {name: variant.model_copy(update={"batching": "alone"}) for name, variant in made.items()}
