"""Recordings changed: louder or softer, with noise, moved; parts of their spectra hidden.

Axes: T samples, F frames, M mel bins.
"""

import numpy as np
from numpy.typing import NDArray

from tunewright.job.settings.remedies import AugmentSettings

Samples = NDArray[np.float32]


def samples_changed(samples_T: Samples, settings: AugmentSettings, random: np.random.Generator) -> tuple[Samples, str]:
    """The samples, as many as before, and what was done to them."""
    made, said = samples_T.astype(np.float32), []
    if settings.gain:
        decibels = settings.gain * random.uniform(-1, 1)
        made = made * np.float32(10 ** (decibels / 20))
        said.append(f"{decibels:+.1f} dB")
    if settings.noise:
        share = settings.noise * random.random()
        loudness = np.sqrt(np.mean(np.square(made, dtype=np.float64)))
        made = made + (random.standard_normal(len(made)) * loudness * share).astype(np.float32)
        said.append(f"noise of {share:.0%}")
    if settings.shift:
        by = round(len(made) * settings.shift * random.uniform(-1, 1))
        made = _shifted(made, by)
        said.append(f"moved by {by:+,} samples")
    return made, ", ".join(said) or "as it is"


def _shifted(samples_T: Samples, by: int) -> Samples:
    """Later by so many samples, or earlier where negative; silence where nothing is."""
    moved = np.zeros_like(samples_T)
    if by >= 0:
        moved[by:] = samples_T[: len(samples_T) - by]
    else:
        moved[:by] = samples_T[-by:]
    return moved


def spectrum_hidden(spectrum: Samples, share: float, random: np.random.Generator) -> Samples:
    """`[F, M]` or `[M, F]` with a run of up to this share of either axis at the mean (SpecAugment, Park et al. 2019,
    arXiv 1904.08779, without the warping of time)."""
    made, mean = spectrum.copy(), spectrum.mean()
    for axis, size in enumerate(spectrum.shape):
        width = int(random.integers(0, int(size * share) + 1))
        first = int(random.integers(0, size - width + 1))
        made[(slice(None),) * axis + (slice(first, first + width),)] = mean
    return made
