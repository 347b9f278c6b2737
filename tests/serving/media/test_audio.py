"""Audio files to numbers, held against the feature extractors of transformers."""

import contextlib
import io
import json

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from transformers import (
    ASTFeatureExtractor,
    AutoFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)
from transformers.models.audio_spectrogram_transformer import feature_extraction_audio_spectrogram_transformer as ast
from transformers.models.whisper import feature_extraction_whisper as whisper

from tunewright.serving.errors import InputError, TooLarge
from tunewright.serving.media.audio_features import features, pad, read
from tunewright.serving.media.audio_file import decode, resample, unfolded
from tunewright.serving.media.audio_processor import AudioPreprocessing, FilterBank, Waveform, read_preprocessing

EXTRACTORS = {
    "wav2vec2": lambda: Wav2Vec2FeatureExtractor(),
    "wav2vec2 not normalized": lambda: Wav2Vec2FeatureExtractor(do_normalize=False),
    "wav2vec2 with a mask": lambda: Wav2Vec2FeatureExtractor(return_attention_mask=True),
    "ast": lambda: ASTFeatureExtractor(),
    "small ast": lambda: ASTFeatureExtractor(num_mel_bins=20, max_length=97, mean=0.1, std=0.7),
    "ast not normalized": lambda: ASTFeatureExtractor(do_normalize=False),
    "ast of 8 kHz": lambda: ASTFeatureExtractor(sampling_rate=8000, num_mel_bins=64),
    "whisper": lambda: WhisperFeatureExtractor(),
    "large whisper": lambda: WhisperFeatureExtractor(feature_size=128),
    "small whisper": lambda: WhisperFeatureExtractor(feature_size=16, chunk_length=2, hop_length=100, n_fft=256),
    "whisper of 8 kHz": lambda: WhisperFeatureExtractor(sampling_rate=8000, chunk_length=3, feature_size=40),
}


@pytest.fixture
def numpy_path(monkeypatch):
    """transformers computes with numpy, in float64, what it leaves to torch and torchaudio where they are there."""
    monkeypatch.setattr(ast, "is_speech_available", lambda: False)
    monkeypatch.setattr(whisper, "is_torch_available", lambda: False)


def noise(seconds, rate=16_000, seed=0):
    return (np.random.default_rng(seed).standard_normal(int(seconds * rate)) * 0.1).astype(np.float32)


def tone(seconds, rate=16_000, hertz=440):
    return (np.sin(2 * np.pi * hertz / rate * np.arange(int(seconds * rate))) / 2).astype(np.float32)


def file_of(samples, rate=16_000, kind="WAV", subtype=None):
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def expected_features(extractor, samples):
    """What transformers makes of one recording, cut at our limit where it has none of its own."""
    limit = {}
    if isinstance(extractor, Wav2Vec2FeatureExtractor):
        limit = {"truncation": True, "max_length": 30 * extractor.sampling_rate}
    made = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="np", **limit)
    return made[extractor.model_input_names[0]][0]


def assert_equal_features(extractor, samples):
    got = features(samples, read_preprocessing(extractor.to_dict()))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected_features(extractor, samples))


SOUNDS = {
    "silence": np.zeros(16_000, dtype=np.float32),
    "a tenth of a second": noise(0.1),
    "one frame": noise(0.025),
    "three seconds": noise(3),
    "a tone": tone(1.2),
    "a click": np.eye(1, 16_000, 77, dtype=np.float32)[0],
    "longer than any limit": noise(31),
    "a sample short of another frame of ast": noise(11)[: 400 + 1024 * 160 - 1],
    "a frame more than ast reads": noise(11)[: 400 + 1024 * 160],
}


@pytest.mark.usefixtures("numpy_path")
@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("name", EXTRACTORS)
def test_features_are_those_of_the_extractor_bit_for_bit(name, sound):
    assert_equal_features(EXTRACTORS[name](), SOUNDS[sound])


@pytest.mark.usefixtures("numpy_path")
@pytest.mark.parametrize("name", ["wav2vec2", "ast", "small ast", "small whisper"])
def test_features_are_those_of_the_extractor_at_any_length(name):
    extractor = EXTRACTORS[name]()

    @settings(max_examples=15, deadline=None)
    @given(st.integers(400, 40_000), st.floats(1e-4, 1e3))
    def check(length, loudness):
        assert_equal_features(extractor, noise(3)[:length] * np.float32(loudness))

    check()


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("name", ["whisper", "whisper of 8 kHz"])
def test_features_are_close_to_what_whisper_computes_with_torch(name, sound):
    """Torch's spectrum is of single precision: it is the less exact of the two."""
    extractor = EXTRACTORS[name]()
    got = features(SOUNDS[sound], read_preprocessing(extractor.to_dict()))
    np.testing.assert_allclose(got, expected_features(extractor, SOUNDS[sound]), atol=2e-4, rtol=0)


@pytest.mark.usefixtures("numpy_path")
@pytest.mark.parametrize("name", ["wav2vec2", "ast", "whisper"])
def test_a_stereo_file_of_8_khz_becomes_features(name):
    both = np.stack([tone(1, 8000), noise(1, 8000)], axis=1)
    samples, rate = decode(file_of(both, 8000, "WAV", "FLOAT"))
    assert rate == 8000
    np.testing.assert_array_equal(samples, both.mean(axis=1))
    resampled = resample(samples, rate, 16_000)
    assert len(resampled) == 16_000
    assert_equal_features(EXTRACTORS[name](), resampled)


@pytest.mark.parametrize("mask", [True, False])
def test_rows_of_one_waveform_batch_are_padded_after_they_were_normalized(mask):
    rows = [noise(0.1), noise(0.2, seed=1) + 0.05, noise(0.05, seed=2)]
    preprocessing = Waveform(return_attention_mask=mask, padding_value=0.25)
    got = pad([features(row, preprocessing) for row in rows], preprocessing)
    # Without a mask transformers normalizes the padding too, and a row's answer depends on its batch mates.
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True, padding_value=0.25)
    expected = extractor(rows, sampling_rate=16_000, padding=True, return_tensors="np")
    np.testing.assert_array_equal(got["input_values"], expected["input_values"])
    assert got["input_values"].dtype == np.float32
    if mask:
        np.testing.assert_array_equal(got["attention_mask"], expected["attention_mask"])
        assert got["attention_mask"].dtype == np.int64
    else:
        assert list(got) == ["input_values"]


@pytest.mark.parametrize("name", EXTRACTORS)
def test_a_batch_has_the_names_of_the_models_inputs(name):
    extractor = EXTRACTORS[name]()
    preprocessing = read_preprocessing(extractor.to_dict())
    made = pad([features(noise(1), preprocessing), features(noise(1, seed=1), preprocessing)], preprocessing)
    expected = extractor([noise(1), noise(1, seed=1)], sampling_rate=extractor.sampling_rate, return_tensors="np")
    assert {name: array.shape for name, array in made.items()} == {
        name: array.shape for name, array in expected.items() if name in made
    }
    assert extractor.model_input_names[0] in made


@pytest.mark.parametrize(
    ("preprocessing", "samples", "sentence"),
    [
        (Waveform(), 399, "the audio has 399 samples at 16000 Hz; this model needs at least 400"),
        (Waveform(min_samples=7), 6, "the audio has 6 samples at 16000 Hz; this model needs at least 7"),
        (FilterBank(), 399, "the audio has 399 samples at 16000 Hz; this model needs at least 400"),
    ],
)
def test_audio_too_short_for_the_model_is_refused(preprocessing, samples, sentence):
    with pytest.raises(InputError) as caught:
        features(noise(1)[:samples], preprocessing)
    assert str(caught.value) == sentence
    assert len(features(noise(1)[: samples + 1], preprocessing))


def test_a_waveform_is_cut_at_its_limit():
    preprocessing = Waveform(max_seconds=0.1, do_normalize=False)
    assert preprocessing.max_samples == 1600
    np.testing.assert_array_equal(features(noise(1), preprocessing), noise(1)[:1600])


# Files.

KINDS = [
    ("WAV", "PCM_16", 1e-4),
    ("WAV", "PCM_24", 1e-6),
    ("WAV", "FLOAT", 0),
    ("WAV", "ULAW", 0.02),
    ("WAV", "GSM610", 0.2),
    ("WAVEX", "PCM_16", 1e-4),
    ("RF64", "PCM_16", 1e-4),
    ("FLAC", "PCM_16", 1e-4),
    ("OGG", "VORBIS", 0.05),
    ("OGG", "OPUS", 0.05),
    ("MP3", "MPEG_LAYER_III", 0.05),
]


@pytest.mark.parametrize(("kind", "subtype", "tolerance"), KINDS)
def test_a_file_decodes_to_its_samples(kind, subtype, tolerance):
    samples, rate = decode(file_of(tone(0.5), kind=kind, subtype=subtype))
    assert rate == 16_000
    assert samples.dtype == np.float32
    assert np.std(samples[: len(tone(0.5))] - tone(0.5)) <= tolerance * np.std(tone(0.5))
    # Block codecs end with a whole block.
    assert len(tone(0.5)) <= len(samples) < len(tone(0.5)) + 321


def test_a_long_file_is_read_to_its_end():
    samples, _ = decode(file_of(noise(20), subtype="FLOAT"))
    np.testing.assert_array_equal(samples, noise(20))


def test_a_file_that_ends_early_has_the_samples_it_holds():
    """Not those its header promises, which soundfile's block reader would fill up from memory."""
    whole = file_of(noise(1), kind="MP3")
    cut = whole[: len(whole) // 2]
    samples, _ = decode(cut)
    assert len(samples) < soundfile.info(io.BytesIO(cut)).frames
    np.testing.assert_allclose(samples, soundfile.read(io.BytesIO(cut), dtype="float32")[0], atol=1e-6)


def test_mp3_may_begin_with_a_tag():
    tag = b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10)
    plain = file_of(noise(1), kind="MP3")
    np.testing.assert_array_equal(decode(tag + plain)[0], decode(plain)[0])


NO_AUDIO = "the content is not audio that can be read; send WAV, FLAC, OGG or MP3"
REFUSED = {
    "nothing": (b"", NO_AUDIO),
    "text": (b"hello", NO_AUDIO),
    "another format": (file_of(noise(0.1), kind="AIFF"), NO_AUDIO),
    "a header alone": (
        b"RIFF\0\0\0\0WAVE",
        "the audio is damaged, cut off or of an unknown kind: Error in WAV file. No 'data' chunk marker.",
    ),
    "half a file": (
        file_of(noise(1), kind="FLAC")[:2000],
        "the audio is damaged, cut off or of an unknown kind: flac decoder lost sync.",
    ),
    "no samples": (file_of(noise(0)), "the audio holds no samples"),
    "nan": (
        file_of(np.array([0, np.nan, 0]), subtype="FLOAT"),
        "the audio holds samples that are no sound: NaN, or beyond 1e+06 times full scale",
    ),
    "infinity": (
        file_of(np.array([0, -np.inf, 0]), subtype="FLOAT"),
        "the audio holds samples that are no sound: NaN, or beyond 1e+06 times full scale",
    ),
    "many channels": (file_of(np.zeros((10, 9))), "the audio has 9 channels; the limit is 8"),
    "a low rate": (file_of(noise(1), 999), "the audio has 999 samples per second; 1000 to 192000 are read"),
    "a high rate": (file_of(noise(1), 192_001), "the audio has 192001 samples per second; 1000 to 192000 are read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_decode_is_refused_in_one_sentence(name):
    data, sentence = REFUSED[name]
    with pytest.raises(InputError) as caught:
        decode(data)
    assert str(caught.value) == sentence


def test_a_recording_that_is_too_long_is_not_decoded():
    with pytest.raises(TooLarge) as caught:
        decode(file_of(np.zeros(601_000), 1000, "FLAC"))
    assert str(caught.value) == "the audio lasts 601.0 s; the limit is 600 s"


def test_the_limits_are_the_callers():
    data = file_of(noise(2))
    assert decode(data, max_bytes=len(data), max_seconds=2)
    with pytest.raises(TooLarge) as caught:
        decode(data, max_seconds=1.99)
    assert str(caught.value) == "the audio lasts 2.0 s; the limit is 1.99 s"
    with pytest.raises(TooLarge) as caught:
        decode(data, max_bytes=1000)
    assert str(caught.value) == "the audio has 64,044 bytes; the limit is 1,000"


@pytest.mark.parametrize(
    ("kind", "subtype", "channels"), [("FLAC", "PCM_16", 1), ("WAV", "PCM_16", 2), ("OGG", "VORBIS", 1)]
)
def test_what_all_samples_would_take_is_told_from_the_header(kind, subtype, channels):
    sound = np.repeat(noise(1)[:, None], channels, axis=1)
    assert unfolded(file_of(sound, kind=kind, subtype=subtype)) == 16_000 * channels * 4


def test_no_more_is_decoded_than_is_heard():
    data = file_of(noise(5))
    samples, _ = decode(data, heard_seconds=1.5)
    assert len(samples) == 24_000
    assert np.array_equal(samples, decode(data)[0][:24_000])


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_the_beginning_sounds_as_it_does_in_the_whole_recording(rate):
    heard = Waveform(max_seconds=0.5, do_normalize=False)
    whole, rate = decode(data := file_of(noise(4), rate))
    expected = features(resample(whole, rate, 16_000), heard)
    got = read(data, heard)
    assert heard.max_samples < len(got) < 2 * 16_000
    np.testing.assert_allclose(features(got, heard), expected, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([file_of(noise(0.1), kind=kind, subtype=subtype) for kind, subtype, _ in KINDS]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=8),
    st.floats(0.2, 1),
)
def test_damaged_bytes_decode_or_are_an_error_of_the_request(whole, changes, kept):
    data = bytearray(whole)
    for place, value in changes:
        data[place] = value
    # Any other exception fails the test.
    with contextlib.suppress(InputError, TooLarge):
        samples, _ = decode(bytes(data[: int(kept * len(data))]))
        assert np.isfinite(samples).all()


@pytest.mark.parametrize(
    ("rate", "hertz"), [(8000, 3000), (11_025, 3000), (22_050, 7200), (44_100, 7200), (48_000, 7200)]
)
def test_a_tone_stays_the_tone_at_another_rate(rate, hertz):
    got = resample(tone(1, rate, hertz), rate, 16_000)
    assert got.dtype == np.float32
    assert len(got) == 16_000
    # The filter swings in and out at the ends.
    np.testing.assert_allclose(got[400:-400], tone(1, hertz=hertz)[400:-400], atol=1e-3)


def test_what_the_lower_rate_cannot_hold_is_filtered_out():
    assert np.abs(resample(tone(1, 48_000, hertz=12_000), 48_000, 16_000)[400:-400]).max() < 1e-5


def test_samples_at_the_right_rate_stay_as_they_are():
    samples = noise(0.1)
    assert resample(samples, 16_000, 16_000) is samples


# Settings.

OLDER = {
    "wav2vec2 without a class": (
        "wav2vec2",
        {
            "do_normalize": True,
            "feature_size": 1,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": False,
            "sampling_rate": 16000,
        },
    ),
    "hubert": (
        "hubert",
        {
            "do_normalize": False,
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "padding_side": "right",
            "padding_value": 0,
            "processor_class": "Wav2Vec2Processor",
            "sampling_rate": 16000,
        },
    ),
    "whisper with its filters": (
        "whisper",
        {
            "chunk_length": 30,
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": 80,
            "hop_length": 160,
            "mel_filters": [[0.0, 1.0], [1.0, 0.0]],
            "n_fft": 400,
            "n_samples": 480000,
            "nb_max_frames": 3000,
            "padding_side": "right",
            "padding_value": 0.0,
            "processor_class": "WhisperProcessor",
            "return_attention_mask": False,
            "sampling_rate": 16000,
        },
    ),
}


@pytest.mark.usefixtures("numpy_path")
@pytest.mark.parametrize("name", OLDER)
def test_a_file_means_what_transformers_makes_of_it(name, tmp_path):
    model_type, config = OLDER[name]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    got = features(noise(1), read_preprocessing(config, model_type=model_type))
    np.testing.assert_array_equal(got, expected_features(extractor, noise(1)))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"feature_extractor_type": "EncodecFeatureExtractor"},
            "preprocessor_config.json names 'EncodecFeatureExtractor', which this program does not know; "
            "supported: Wav2Vec2FeatureExtractor, ASTFeatureExtractor, WhisperFeatureExtractor",
        ),
        (
            {"feature_extractor_type": "WhisperFeatureExtractor", "dither": 0.1},
            "preprocessor_config.json sets 'dither' to 0.1: Input should be less than or equal to 0",
        ),
        (
            {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "padding_side": "left"},
            "preprocessor_config.json sets 'padding_side' to 'left': Input should be 'right'",
        ),
        (
            {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 2},
            "preprocessor_config.json sets 'feature_size' to 2: Input should be 1",
        ),
        (
            {"feature_extractor_type": "ASTFeatureExtractor", "hop_length": 200},
            "preprocessor_config.json sets 'hop_length' to 200, which is not supported; ASTFeatureExtractor knows: "
            "sampling_rate, padding_side, kind, feature_size, num_mel_bins, max_length, padding_value, do_normalize, "
            "mean, std",
        ),
    ],
)
def test_a_file_that_asks_for_something_else_is_refused(config, sentence):
    with pytest.raises(ValueError) as caught:
        read_preprocessing(config)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", EXTRACTORS)
def test_preprocessing_comes_back_from_json(name):
    preprocessing = read_preprocessing(EXTRACTORS[name]().to_dict())
    assert TypeAdapter(AudioPreprocessing).validate_json(preprocessing.model_dump_json()) == preprocessing
