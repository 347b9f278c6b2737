"""Where one label begins: its logit is moved so far that it is found, or believed, as often as the settings ask.

A shift of the label's bias is a threshold: of two labels it moves the score at which one becomes the other, of more
the ratio to the best of the others. It lies in the last layer, so that every file and server decides alike.

Axes: N validation rows, L labels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.job.batches.side import Array, Targets
from tunewright.job.settings.remedies import ThresholdSettings


@dataclass(frozen=True)
class Decision:
    """What a moved threshold bought on the validation rows."""

    label: str
    shift: float
    """What is added to the label's logit."""
    precision_before: float
    recall_before: float
    precision: float
    recall: float
    reached: bool
    """Whether the validation rows give what was asked for."""
    rows: int
    """Validation rows of the label."""


def decide(logits: Array, targets: Targets, number: int, wanted: ThresholdSettings) -> Decision:
    """The shift for the label with this number, from logits `[N, L]` and the numbers of the right labels `[N]`."""
    truth = np.asarray(targets) == number
    margins = logits[:, number] - np.delete(logits, number, axis=1).max(axis=1)
    shift, reached = _shift(margins.astype(np.float64), truth, wanted) if truth.any() else (0.0, False)
    before, after = _figures(margins > 0, truth), _figures(margins + shift > 0, truth)
    return Decision(wanted.label, shift, *before, *after, reached=reached, rows=int(truth.sum()))


def _shift(margins: NDArray[np.float64], truth: NDArray[np.bool_], wanted: ThresholdSettings) -> tuple[float, bool]:
    order = np.argsort(-margins, kind="stable")
    ranked, right = margins[order], np.cumsum(truth[order])
    precision, recall = right / np.arange(1, len(order) + 1), right / right[-1]
    # A cut between equal margins cannot be made.
    cuts = np.append(ranked[:-1] > ranked[1:], True)
    bound, floor, free = (
        (recall, wanted.recall, precision) if wanted.precision is None else (precision, wanted.precision, recall)
    )
    assert floor is not None
    good = cuts & (bound >= floor)
    # Where it cannot be had: as near to it as there is.
    best = int(np.where(good, free, -1).argmax() if good.any() else np.where(cuts, bound, -1).argmax())
    following = ranked[best + 1] if best + 1 < len(ranked) else ranked[best] - 2.0
    return -float(ranked[best] + following) / 2, bool(good.any())


def _figures(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Precision and recall."""
    right = float((found & truth).sum())
    return right / max(1, int(found.sum())), right / max(1, int(truth.sum()))
