"""Which cosine stands for which score."""

from tunewright.job.batches.side import Targets


def cosine_range(targets: Targets) -> tuple[float, float]:
    """Cosines that stand for the least and the largest score: from 0, or from -1 where there are scores below 0."""
    return (-1.0 if ends(targets)[0] < 0 else 0.0), 1.0


def ends(targets: Targets) -> tuple[float, float]:
    """The least and the largest score."""
    return float(targets.min()), float(targets.max())
