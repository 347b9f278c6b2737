"""Audio classification: recordings read, taught, measured and served as the pipeline answers."""

import csv
import io

import numpy as np
import pytest
import soundfile
import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForSpeechSeq2Seq,
    HubertConfig,
    HubertForSequenceClassification,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
    pipeline,
)

from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.model.build import build_headed
from tunewright.job.model.classifiers import last_layer
from tunewright.job.model.layers import choose_layers, pretrained_name
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.train import TrainSettings
from tunewright.job.steps.teach import teach
from tunewright.job.tasks import TASKS
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull
from tunewright.serving.predictor import open_predictor

CONVOLUTIONS = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": (16, 16, 16), "conv_kernel": (10, 5, 4), "conv_stride": (8, 5, 4), "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4, "classifier_proj_size": 16,
}  # fmt: skip


def whisper(seconds):
    config = WhisperConfig(
        d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=16, max_source_positions=50 * seconds, num_mel_bins=32, vocab_size=100,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return WhisperForAudioClassification(config)


FAMILIES = {
    "wav2vec2": lambda: (Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**CONVOLUTIONS)), Wav2Vec2FeatureExtractor()),
    "hubert": lambda: (HubertForSequenceClassification(HubertConfig(**CONVOLUTIONS)), Wav2Vec2FeatureExtractor()),
    "audio-spectrogram-transformer": lambda: (
        ASTForAudioClassification(
            ASTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_length=64,
                      num_mel_bins=32)
        ),
        ASTFeatureExtractor(max_length=64, num_mel_bins=32),
    ),
    "whisper": lambda: (whisper(seconds=30), WhisperFeatureExtractor(feature_size=32)),
    "whisper of short recordings": lambda: (
        whisper(seconds=2), WhisperFeatureExtractor(feature_size=32, chunk_length=2),
    ),
}  # fmt: skip


def test_every_architecture_that_is_accepted_has_a_tiny_model_here():
    assert {name.partition(" of ")[0] for name in FAMILIES} == set(TASKS["audio-classification"].graph.architectures)


def tone(hertz, seconds=0.3, rate=8000, seed=0):
    """A noisy tone as the bytes of a WAV file."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.05, len(time))
    content = io.BytesIO()
    soundfile.write(content, 0.5 * np.sin(2 * np.pi * hertz * time) + noise, rate, format="WAV")
    return content.getvalue()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of 60 recordings, at 8 kHz where the models want 16: high and low tones."""
    folder = tmp_path_factory.mktemp("tones")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["audio", "label"])
        for number in range(60):
            hertz, label = ((300, "low"), (2500, "high"))[number % 2]
            (folder / f"{number}.wav").write_bytes(tone(hertz, 0.2 + number / 200, seed=number))
            writer.writerow([f"{number}.wav", label])
    return folder / "train.csv"


@pytest.fixture
def settings(table, tmp_path):
    """settings("wav2vec2"): a job that tells tones, with a tiny model of that family."""

    def make(family):
        torch.manual_seed(5)
        for part in FAMILIES[family]():
            part.save_pretrained(tmp_path / "base")
        return JobSettings(
            task="audio-classification",
            base_model=str(tmp_path / "base"),
            model_name="tones",
            data={"train": str(table)},
            train={"epochs": 2, "learning_rate": 3e-3, "batch_size": 8, "precision": "fp32"},
            gate={"max_drop": {"int8": 1}},
            output=tmp_path / "runs",
            keep_bundle=True,
        )

    return make


def test_tones_are_taught_from_what_is_resampled(settings, registry, tmp_path, capsys):
    taught = teach(*prepare_all(settings("wav2vec2"), registry, tmp_path / "work"))
    first, last = taught.trained.history
    assert last["loss"] < first["loss"]
    assert "train: recordings are resampled to 16,000 Hz: 48 at 8,000 Hz" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", [pytest.param(one, marks=pytest.mark.always if one == "wav2vec2" else ()) for one in FAMILIES]
)
def test_a_family_is_taught_registered_and_answers_as_the_pipeline(family, settings, registry, capsys):
    made = run(settings(family), registry)
    assert "train: recordings are resampled to 16,000 Hz: 48 at 8,000 Hz" in capsys.readouterr().out
    folder = pull(open_store(registry.uri), f"tones:{made.version.number}", cache=registry.cache).folder
    predictor = open_predictor(folder, variant="fp32")
    # At the model's own rate, so that only the model is compared and not two ways to resample.
    files = [tone(400, 0.25, 16_000), tone(2400, 0.6, 16_000)]
    together = predictor.predict(files)
    answering = pipeline("audio-classification", str(folder / "weights"))
    for data, answer in zip(files, together, strict=True):
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
        heard = {"raw": samples, "sampling_rate": rate}
        expected = {one["label"]: one["score"] for one in answering(heard, top_k=2)}
        assert {one["label"]: one["score"] for one in answer} == pytest.approx(expected, abs=1e-4)
    assert [predictor.predict([data])[0] for data in files] == together
    predictor.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pretrained_model_without_a_head_gets_one_which_can_learn_alone(family, registry, tmp_path):
    model, extractor = FAMILIES[family]()
    kind = AutoModelForSpeechSeq2Seq if family.startswith("whisper") else AutoModel
    pretrained = kind.from_config(model.config)
    pretrained.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    settings = TrainSettings(layers="head")
    base = fetch_base_model(str(tmp_path), registry, TASKS["audio-classification"].inputs.needs)
    built = build_headed(AutoModelForAudioClassification, base, ["a", "b", "c"], settings)
    counted = choose_layers(built, settings)
    assert last_layer(built).out_features == 3
    assert 0 < counted.learning < counted.total / 2
    known = {name.removeprefix("model."): weight for name, weight in pretrained.state_dict().items()}
    part = pretrained_name(built)
    for name, weight in built.named_parameters():
        assert weight.requires_grad != name.startswith(f"{part}.")
        if name.startswith(f"{part}."):
            assert torch.equal(weight, known.get(name, known.get(name.removeprefix(f"{part}."))))
