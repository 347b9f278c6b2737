"""Whether labels are so uneven that a job should do something about it."""

from collections.abc import Mapping

from tunewright.job.settings.train import TrainSettings

_BOUND = 0.3
"""A label is rare when it has less than this share of what the labels have on the average."""
REMEDIES = ("class_weights", "sampling", "logit_adjustment", "focal_gamma", "imbalance", "threshold", "few_shot")
"""Settings of `train` that are given where somebody has thought of it."""


def advice(counts: Mapping[str, int], rows: int, settings: TrainSettings, problem: str) -> str | None:
    """What to set where the labels of the training rows are uneven, in one sentence; None where there is no need.

    counts: rows of each label, of so many rows.
    """
    if any(getattr(settings, name) for name in REMEDIES):
        return None
    mean = sum(counts.values()) / max(len(counts), 1)
    rare = sorted(
        (label for label in counts if counts[label] < _BOUND * mean), key=lambda label: (counts[label], label)
    )
    if not rare:
        return None
    first = rare[0]
    more = f" (and {len(rare) - 1} more are as rare)" if rare[1:] else ""
    by_hand = "train.class_weights: balanced"
    if problem != "entities" and settings.metric is None:
        by_hand += " with train.metric: macro_f1" if problem != "multi_label" else ""
    return (
        f"{first!r} is in {counts[first] / rows:.1%} of the training rows, a label on the average in "
        f"{mean / rows:.1%}{more}: a model may learn to pass over it; train.imbalance: auto tries the remedies, or set "
        f"{by_hand}"
    )
