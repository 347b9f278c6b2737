"""Audio regression: taught and served."""

import csv
import io

import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForAudioClassification

from tunewright.job.recipe import run
from tunewright.job.settings.job import JobSettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull
from tunewright.serving.predictor import open_predictor


def tone(hertz, seconds=0.3, seed=0):
    """A noisy tone as the bytes of a WAV file."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    noise = np.random.default_rng(seed).normal(0, 0.02, len(time))
    content = io.BytesIO()
    soundfile.write(content, 0.5 * np.sin(2 * np.pi * hertz * time) + noise, 16_000, format="WAV")
    return content.getvalue()


@pytest.mark.slow
def test_a_number_is_learned_and_answered_in_the_unit_of_the_data(registry, tmp_path):
    torch.manual_seed(5)
    config = WhisperConfig(
        d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=16, max_source_positions=100, num_mel_bins=32, vocab_size=100,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    WhisperForAudioClassification(config).save_pretrained(tmp_path / "base")
    WhisperFeatureExtractor(feature_size=32, chunk_length=2).save_pretrained(tmp_path / "base")
    with (tmp_path / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["audio", "score"])
        for number in range(80):
            (tmp_path / f"{number}.wav").write_bytes(tone(200 + 50 * number, seed=number))
            writer.writerow([f"{number}.wav", 200 + 50 * number])
    settings = JobSettings(
        task="audio-regression",
        base_model=str(tmp_path / "base"),
        model_name="pitch",
        data={"train": str(tmp_path / "train.csv")},
        train={
            "epochs": 20,
            "learning_rate": 5e-3,
            "batch_size": 8,
            "precision": "fp32",
            "metric": "rmse",
            "patience": 20,
        },
        gate={"max_drop": {"int8": 1}},
        output=tmp_path / "runs",
    )
    made = run(settings, registry)
    assert made.release.evaluations["fp32"].metrics["spearman"] > 0.8
    predictor = open_predictor(pull(open_store(registry.uri), "pitch:1", cache=registry.cache).folder, variant="fp32")
    files = [tone(500, 0.25, 900), tone(3800, 0.6, 901)]
    ((low,), (high,)) = together = predictor.predict(files)
    assert low["label"] == "score"
    assert 0 < low["score"] < high["score"] < 6000
    assert [predictor.predict([data])[0] for data in files] == together
    predictor.close()
