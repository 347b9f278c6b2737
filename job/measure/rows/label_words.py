"""The words that speak most for each label in a linear model of the words (TF-IDF, logistic regression): what plain
reading finds in the training rows, not what the fine-tuned model looks at.

Axes: G groups of rows, L labels, V words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.job.measure.rows.floor import words_of

_GROUPS = 10
_T = 2.262157
"""Student's distribution with `_GROUPS` - 1 degrees of freedom: 95 % lie within so many standard deviations."""
_MOST_WORK = 100_000
"""Rows times labels: eleven models are made of them."""
_FEWEST_ROWS = 5
"""Training rows with a word, for it to be told."""
_TOLD = 8

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Word:
    """What a word adds to the logit of a label, by its TF-IDF of 1."""

    word: str
    weight: float
    low: float
    high: float
    """The ends of its 95 % interval: another sample of as many training rows would give such a weight."""
    rows: int
    """Training rows that have it."""


def rows_read(labels: int) -> int:
    """How many training rows are read at most."""
    return _MOST_WORK // max(labels, 1)


def label_words(train: Sequence[str], targets: NDArray[np.generic], labels: int) -> list[list[Word]]:
    """For each label up to eight words, those with the highest lower end first and none that may weigh nothing.

    `targets`: label numbers, or zeros and ones, of the training texts. The intervals leave out one of ten groups of
    rows after the other (the jackknife). Empty lists where the texts hold no words.
    """
    words = words_of(train)
    try:
        known = words.fit_transform(train).tocsr()
    except ValueError:  # no word of them is one
        return [[] for _ in range(labels)]
    whole = _weights(known, targets, labels)
    group = np.random.default_rng(0).permutation(len(train)) % _GROUPS
    parts = [_weights(known[group != one], targets[group != one], labels) for one in range(_GROUPS)]
    half = half_widths(np.stack(parts))
    rows = np.asarray((known > 0).sum(axis=0)).ravel()
    names = words.get_feature_names_out()
    return [_told(names, whole[label], half[label], rows) for label in range(labels)]


def half_widths(parts: NDArray[np.float64]) -> Weights:
    """Half the length of the 95 % intervals of `[...]` figures, from `[G, ...]` of them, each without one group."""
    groups = len(parts)
    spread = ((parts - parts.mean(axis=0)) ** 2).sum(axis=0) * (groups - 1) / groups
    return np.asarray(_T * np.sqrt(spread), dtype=np.float64)


def _told(names: Sequence[str], weights: Weights, half: Weights, rows: NDArray[np.integer]) -> list[Word]:
    low = weights - half
    places = np.flatnonzero((low > 0) & (rows >= _FEWEST_ROWS))
    chosen = places[np.argsort(-low[places], kind="stable")][:_TOLD].tolist()
    return [
        Word(str(names[at]), float(weights[at]), float(low[at]), float(weights[at] + half[at]), int(rows[at]))
        for at in chosen
    ]


def _weights(known: object, targets: NDArray[np.generic], labels: int) -> Weights:
    """`[L, V]`; nothing of a label that no row has, or that all have."""
    from sklearn.linear_model import LogisticRegression

    made = np.zeros((labels, known.shape[1]))  # type: ignore[attr-defined]
    if targets.ndim == 2:
        for label in range(labels):
            if len(np.unique(targets[:, label])) == 2:
                model = LogisticRegression(C=10.0, solver="liblinear").fit(known, targets[:, label])
                made[label] = model.coef_[0]
        return made
    if len(np.unique(targets)) < 2:
        return made
    model = LogisticRegression(C=10.0, max_iter=200, tol=1e-4).fit(known, targets)
    weights = model.coef_ if len(model.classes_) > 2 else np.concatenate([-model.coef_, model.coef_])
    made[model.classes_.astype(np.int64)] = weights
    return made
