"""Models that read recordings, each at the sampling rate of the base model."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile  # type: ignore[import-untyped]
from torch import nn
from transformers import AutoModelForAudioClassification

from tunewright.job.batches.side import Array
from tunewright.job.kinds.plan import Plan
from tunewright.job.kinds.task import Graph, Learner
from tunewright.job.learners.files import FileInputs, MediaEncoder
from tunewright.job.learners.heads import Headed
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.progress.events import say
from tunewright.job.settings.job import JobSettings
from tunewright.serving.bundle.model_file import Variant
from tunewright.serving.engines.media import Batch
from tunewright.serving.media.audio_features import pad
from tunewright.serving.media.audio_processor import AudioPreprocessing, read_preprocessing
from tunewright.serving.tasks.audio_classification import load

AUDIO_ARCHITECTURES = ("audio-spectrogram-transformer", "hubert", "wav2vec2", "whisper")
"""Those whose graph was compared with torch."""
_SAMPLES_AT_ONCE = 32 * 16_000


def open_recordings(
    config: dict[str, object], model_type: str, settings: JobSettings, base: BaseCheckpoint
) -> MediaEncoder:
    """Resample and transform as the base model's feature extractor does."""
    audio: AudioPreprocessing = read_preprocessing(config, model_type=model_type)

    def collate(rows: Sequence[Array]) -> Batch:
        return pad(rows, audio)

    return MediaEncoder({"audio": audio.model_dump(mode="json")}, lambda data: load(data, audio), collate)


def say_rates(plan: Plan, side: str) -> None:
    """Count the recordings at another sampling rate than the model's."""
    inputs, served = plan.prepared.part(side).data.inputs(), plan.prepared.task.columns.served
    wanted = plan.opened(MediaEncoder).options["audio"]["sampling_rate"]
    rates = Counter(soundfile.info(io.BytesIO(served(one))).samplerate for one in inputs)
    others = {rate: count for rate, count in sorted(rates.items()) if rate != wanted}
    if others:
        which = ", ".join(f"{count:,} at {rate:,} Hz" for rate, count in others.items())
        say("encode", f"{side}: recordings are resampled to {wanted:,} Hz: {which}")


RECORDING_INPUTS = FileInputs(open_recordings, _SAMPLES_AT_ONCE, tell=say_rates)


@dataclass(frozen=True)
class Listener(Graph):
    """A model of recordings with a head."""

    headed: Headed
    architectures: tuple[str, ...] = AUDIO_ARCHITECTURES

    def build(self, plan: Plan) -> nn.Module:
        """The base with a new head; its masking of spans is for pretraining, and fails on short recordings."""
        model = self.headed.build(plan)
        model.config.apply_spec_augment = False  # type: ignore[union-attr]
        return model

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph a variant; a recording runs alone, since some models read the padding of a shorter one."""
        made = self.headed.export(model, plan, folder, variants)
        return {name: variant.model_copy(update={"batching": "alone"}) for name, variant in made.items()}


AUDIO_LEARNER = Learner(
    RECORDING_INPUTS, Listener(Headed(AutoModelForAudioClassification, "audio-classification", AUDIO_ARCHITECTURES))
)
