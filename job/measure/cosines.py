"""How well cosines follow scores.

Axes: N pairs of texts.
"""

from tunewright.job.batches.side import Array, Targets
from tunewright.job.measure import numbers


def cosine_range(targets: Targets) -> tuple[float, float]:
    """Cosines that stand for the least and the largest score: from 0, or from -1 where there are scores below 0."""
    return (-1.0 if ends(targets)[0] < 0 else 0.0), 1.0


def ends(targets: Targets) -> tuple[float, float]:
    """The least and the largest score."""
    return float(targets.min()), float(targets.max())


def correlations(cosine_N1: Array, targets: Targets) -> dict[str, float]:
    """Spearman's and Pearson's correlation; a cosine has not the unit of a score, so there is no error."""
    found = numbers.metrics(cosine_N1, targets)
    return {name: found[name] for name in ("spearman", "pearson")}
