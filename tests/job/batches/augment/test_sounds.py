"""Recordings changed."""

import numpy as np
import pytest

from tunewright.job.batches.augment.sounds import samples_changed, spectrum_hidden
from tunewright.job.settings.remedies import AugmentSettings

TONE = np.sin(np.arange(1000) / 5).astype(np.float32)


def made(seed=1, **settings):
    return samples_changed(TONE, AugmentSettings(**settings), np.random.default_rng(seed))


def test_gain_is_a_factor_within_its_decibels():
    samples, said = made(gain=6)
    factor = float(samples[10] / TONE[10])
    assert samples == pytest.approx(TONE * factor, abs=1e-6)
    assert 10 ** (-6 / 20) <= factor <= 10 ** (6 / 20)
    assert said == f"{20 * np.log10(factor):+.1f} dB"


def test_noise_is_as_loud_as_asked_at_most():
    noise = made(noise=0.5)[0] - TONE
    assert 0 < noise.std() < 0.55 * TONE.std()


@pytest.mark.parametrize("seed", range(6))
def test_a_shift_keeps_the_length_and_fills_with_silence(seed):
    samples, said = made(seed, shift=0.5)
    by = int(said.split()[2].replace(",", ""))
    expected = np.zeros(1000, dtype=np.float32)
    if by >= 0:
        expected[by:] = TONE[: 1000 - by]
    else:
        expected[:by] = TONE[-by:]
    assert np.array_equal(samples, expected)


def test_a_run_of_frames_and_one_of_frequencies_is_hidden():
    spectrum = np.arange(200, dtype=np.float32).reshape(20, 10)
    found = spectrum_hidden(spectrum, 0.5, np.random.default_rng(3))
    hidden = found != spectrum
    assert set(found[hidden]) == {spectrum.mean()}
    assert hidden.all(axis=1).sum() <= 10
    assert hidden.all(axis=0).sum() <= 5
    assert hidden.any()
    assert spectrum[0, 0] == 0
