"""Rows of rare labels more often, or of common ones less often: another draw in every epoch.

Axes: N rows of the training side, E rows of an epoch.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tunewright.job.batches.side import Batch, Copied, Renewed, Rows

Sampling = Literal["over", "under"]


def repeats(labels: Sequence[Sequence[str]], sampling: Sampling, *, single: bool) -> NDArray[np.float64]:
    """How often each row is read in an epoch, on the average, `[N]`. `labels`: those of each row.

    One label a row: `over` brings every label to the number of the commonest, `under` to that of the rarest. Several:
    a row counts by its rarest label, as the root of how much rarer that is than the commonest (repeat factor sampling,
    Gupta et al. 2019, arXiv 1908.03195), since with it the common ones are repeated too.
    """
    counts = Counter(label for row in labels for label in row)
    most, least = max(counts.values()), min(counts.values())
    if sampling == "under":
        return np.array([least / counts[row[0]] for row in labels])
    power = 1.0 if single else 0.5
    return np.array([max(((most / counts[label]) ** power for label in row), default=1.0) for row in labels])


class Resampled:
    """The training rows as often as `repeats` says; which of them depends on seed and epoch alone."""

    def __init__(self, rows: Rows, repeats: NDArray[np.float64], seed: int) -> None:
        self.plain, self._repeats, self._seed = rows, repeats, seed
        self.lengths = np.zeros(max(1, round(float(repeats.sum()))), dtype=np.int64)
        self.truncated = rows.truncated
        self._draw(1)

    def __len__(self) -> int:
        return len(self.lengths)

    def renew(self, epoch: int) -> None:
        """Draw anew."""
        self._draw(epoch)
        if isinstance(self.plain, Renewed):
            self.plain.renew(epoch)

    def batch(self, rows: Sequence[int]) -> Batch:
        """The rows drawn at these places, and which they are."""
        drawn = self._drawn[list(rows)]
        if isinstance(self.plain, Copied):
            batch = self.plain.copies(drawn.tolist(), self._times[list(rows)].tolist())
        else:
            batch = self.plain.batch(drawn.tolist())
        return {**batch, "rows": torch.from_numpy(drawn)}

    def _draw(self, epoch: int) -> None:
        self._drawn = draw(self._repeats, len(self), np.random.default_rng([self._seed, epoch, len(self)]))
        order = np.argsort(self._drawn, kind="stable")
        ranked = self._drawn[order]
        # How often a row has stood before each place.
        self._times = np.empty(len(self), dtype=np.int64)
        self._times[order] = np.arange(len(self)) - np.searchsorted(ranked, ranked)
        # In place: who deals the batches keeps the array.
        self.lengths[:] = self.plain.lengths[self._drawn]


def draw(repeats: NDArray[np.float64], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """So many row numbers, each row as often as its share says, rounded up or down (systematic sampling)."""
    order = random.permutation(len(repeats))
    reached = np.cumsum(repeats[order])
    points = (np.arange(count) + random.random()) * (reached[-1] / count)
    places = np.searchsorted(reached, points, side="right").clip(max=len(order) - 1)
    return np.asarray(order[places], dtype=np.int64)
