"""Whether a score of 0.8 is right eight times of ten: the temperature that makes it so, and how far off scores are.

One temperature divides all logits (Guo et al. 2017, "On Calibration of Modern Neural Networks"); it moves no label
above another. Axes: N outcomes (rows, or words), L labels, R rows that are drawn together, B bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.job.measure.rows.intervals import share
from tunewright.serving.runtime.scores import Function, log_softmax, scores

Numbers = NDArray[np.float64]

BINS = 10
"""Of equal mass, fewer where there are not `_PER_BIN` scores for each."""
_PER_BIN = 20
_LEAST_ROWS = 50
"""Rows without which no temperature is fitted."""
_BOUNDS = (np.log(0.05), np.log(20.0))
"""Of the logarithm of a temperature."""
_RESAMPLES = 300
_SIZES = np.linspace(0.0, 1.0, 41)
"""Of gaps that an interval tries, as shares of those that were found."""


@dataclass(frozen=True)
class Outcomes:
    """What a file gives for rows, beside what is true of them."""

    logits: NDArray[np.float32]
    """`[N, L]`"""
    truths: NDArray[np.generic]
    """`[N]` label numbers, from L on for labels that the model does not have; or `[N, L]` zeros and ones."""
    rows: NDArray[np.int64]
    """`[N]`, from 0 on: the row that each belongs to. Those of one row are drawn together."""

    @property
    def function(self) -> Function:
        """What makes scores of the logits."""
        return "softmax" if self.truths.ndim == 1 else "sigmoid"

    def of(self, chosen: NDArray[np.bool_]) -> "Outcomes":
        """Some of them."""
        return Outcomes(self.logits[chosen], self.truths[chosen], self.rows[chosen])


def outcomes_of(logits: NDArray[np.float32], truths: NDArray[np.generic]) -> Outcomes:
    """One outcome a row. Columns of labels that the model does not have are left out."""
    known = truths if truths.ndim == 1 else truths[:, : logits.shape[1]]
    return Outcomes(logits, np.asarray(known), np.arange(len(logits), dtype=np.int64))


@dataclass(frozen=True)
class Bin:
    """Neighbouring scores."""

    score: float
    """Their mean."""
    right: float
    """Share that is right."""
    low: float
    high: float
    """Wilson's 95 % interval of that share."""
    count: int


@dataclass(frozen=True)
class Reliability:
    """How far scores are from what they promise: of one label the score of the best one, of several that of each."""

    ece: float
    """Expected calibration error: mean distance of score and share that is right, over bins of equal mass."""
    interval: tuple[float, float]
    """95 %, from rows drawn with replacement."""
    chance: float
    """The error that scores which are true would show on so few rows."""
    nll: float
    """Mean negative log-likelihood of what is true, natural logarithm."""
    bins: list[Bin]


@dataclass(frozen=True)
class Calibration:
    """One variant on one side, without its temperature and with it."""

    temperature: float
    before: Reliability
    after: Reliability


def calibration(outcomes: Outcomes, temperature: float) -> Calibration:
    """The same outcomes by their raw scores and by those that are served."""
    before = reliability(outcomes, 1.0)
    return Calibration(temperature, before, before if temperature == 1.0 else reliability(outcomes, temperature))


def fit_temperature(outcomes: Outcomes) -> float:
    """The temperature with the best likelihood; 1 where it does not show on rows that it was not fitted on.

    Each half of the rows is judged by the temperature of the other one, and both together must gain.
    """
    if outcomes.function == "softmax":
        outcomes = outcomes.of(np.asarray(outcomes.truths < outcomes.logits.shape[1]))
    rows = np.unique(outcomes.rows)
    if len(rows) < _LEAST_ROWS:
        return 1.0
    half = np.isin(outcomes.rows, np.random.default_rng(0).permutation(rows)[: len(rows) // 2])
    sides = outcomes.of(half), outcomes.of(~half)
    gained = sum(
        (nll(judged, 1.0) - nll(judged, _best(fitted))) * len(judged.logits)
        for fitted, judged in (sides, reversed(sides))
    )
    return round(_best(outcomes), 4) if gained > 0 else 1.0


def _best(outcomes: Outcomes) -> float:
    from scipy.optimize import minimize_scalar

    # Where all is right the likelihood only grows as scores near 1: by Laplace's rule one more row is wrong.
    smooth = 1 / (len(outcomes.logits) + 2)
    found = minimize_scalar(
        lambda log: nll(outcomes, float(np.exp(log)), smooth), bounds=_BOUNDS, method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(found.x))


def nll(outcomes: Outcomes, temperature: float, smooth: float = 0.0) -> float:
    """Mean negative log-likelihood, of several labels the mean over all of them. Of labels that the model does not have
    none is known. `smooth`: the share of each truth that goes to what is not true."""
    logits = outcomes.logits.astype(np.float64) / temperature
    if outcomes.function == "sigmoid":
        truths = outcomes.truths.astype(np.float64)
        losses = np.logaddexp(0.0, np.where(truths > 0, -logits, logits))
        others = np.logaddexp(0.0, np.where(truths > 0, logits, -logits))
        return float(np.mean((1 - smooth) * losses + smooth * others))
    known = np.flatnonzero(outcomes.truths < logits.shape[1])
    if not len(known):
        return 0.0
    log_shares = log_softmax(logits[known])
    right = log_shares[np.arange(len(known)), outcomes.truths[known].astype(np.int64)]
    rest = (log_shares.sum(axis=-1) - right) / max(logits.shape[1] - 1, 1)
    return float(-np.mean((1 - smooth) * right + smooth * rest))


def best_scores(outcomes: Outcomes, temperature: float) -> tuple[Numbers, NDArray[np.bool_]]:
    """The score of each best label, and whether it is the right one: `[N]`. Of several labels the score of each and
    whether the row has it: `[N * L]`."""
    made = scores(outcomes.logits, outcomes.function, temperature).astype(np.float64)
    if outcomes.function == "sigmoid":
        return made.ravel(), outcomes.truths.ravel().astype(np.bool_)
    return made.max(axis=-1), np.asarray(outcomes.logits.argmax(axis=-1) == outcomes.truths)


def reliability(outcomes: Outcomes, temperature: float) -> Reliability:
    """How far the scores are from what they promise. At least one outcome."""
    told, right = best_scores(outcomes, temperature)
    owners = np.repeat(outcomes.rows, len(told) // len(outcomes.rows))
    count = max(1, min(BINS, len(told) // _PER_BIN))
    places = np.empty(len(told), dtype=np.int64)
    places[np.argsort(told, kind="stable")] = np.arange(len(told)) * count // len(told)
    _, owners = np.unique(owners, return_inverse=True)
    gaps_RB = np.zeros((int(owners.max()) + 1, count))
    np.add.at(gaps_RB, (owners, places), right - told)
    sizes_R = np.bincount(owners).astype(np.float64)
    ece = float(np.abs(gaps_RB.sum(axis=0)).sum() / len(told))
    bins = [_bin(told[places == place], right[places == place]) for place in range(count)]
    return Reliability(ece, *_interval(gaps_RB, sizes_R, ece), nll(outcomes, temperature), bins)


def _interval(gaps_RB: Numbers, sizes_R: Numbers, ece: float) -> tuple[tuple[float, float], float]:
    """What the error may truly be, and what of it chance alone makes.

    Chance moves the shares of all bins, and a distance is never below 0: the figure lies too high, most where scores
    are true. So what rows drawn with replacement move is added to gaps of the same shape, but smaller: the interval
    begins with the smallest of which the figure is an ordinary outcome. It ends where the drawn rows do.
    """
    random, rows = np.random.default_rng(0), len(sizes_R)
    gaps_B = gaps_RB.sum(axis=0) / sizes_R.sum()
    moved_DB = np.empty((_RESAMPLES, len(gaps_B)))
    for at in range(_RESAMPLES):
        times_R = np.bincount(random.integers(0, rows, rows), minlength=rows).astype(np.float64)
        moved_DB[at] = (times_R @ gaps_RB) / (times_R @ sizes_R) - gaps_B
    found_SD = np.abs(_SIZES[:, None, None] * gaps_B + moved_DB).sum(axis=-1)
    highest_S = np.percentile(found_SD, 97.5, axis=-1)
    low = _SIZES[np.flatnonzero(highest_S >= ece)[0]] * ece
    return (float(low), float(highest_S[-1])), float(found_SD[0].mean())


def _bin(told: Numbers, right: NDArray[np.bool_]) -> Bin:
    return Bin(float(told.mean()), *share(int(right.sum()), len(right)), len(right))
