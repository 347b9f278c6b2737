"""Labels that are likely wrong: what heads over a frozen encoder and over words say of rows they did not learn from.

Two ways, of which the data decides:

- The labels are what the encoder sees as groups: the centre of each label's vectors is moved to the middle of the rows
  nearest to it, four times, and the rows are still mostly those of the label. Where the words tell these groups better
  than the given labels, rows outside the group of their label are suspects. This finds what many people get wrong in
  the same way, which any model that learns from the labels repeats.
- Otherwise both heads have to accuse a row by confident learning, and together hold another label at least twice as
  likely as the given one, which is careful and finds little.

Axes: N rows, D size of a vector, L labels, W words.
"""

import importlib.util
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.doctor.finding import Finding
from tunewright.job.data.doctor.side import Side
from tunewright.serving.text.spacing import UNSPACED_LETTERS

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]

FEWEST = 100
"""Rows under which nothing is said."""
_FOLDS = 5
_MOVES = 4
"""Times that the centres are moved."""
_FOLLOWED = 0.1
"""By how much less the groups may agree with the labels than the head of the encoder does."""
_CLEARER = 0.03
"""By how much better the words have to tell the groups than the labels."""
_SURER = 2.0
"""How much likelier another label has to be than the given one, where both heads accuse."""
_SERIOUS = 0.1
"""Share of likely wrong labels from which it is serious."""
_WORD = f"(?u)[{UNSPACED_LETTERS}]|[^\\W{UNSPACED_LETTERS}]+|[^\\w\\s]"
"""A run of letters and digits of any length, one letter of a script that is written without spaces, or a mark: a text
has words whatever it is made of."""


def can_be_noise() -> bool:
    """Whether the library is there that finds likely wrong labels."""
    return importlib.util.find_spec("cleanlab") is not None


def mislabelled(side: Side, numbers: Labels, vectors: NDArray[np.float32], labels: Labels) -> Iterator[Finding]:
    """Rows of `numbers` `[N]` whose label is likely wrong: `vectors` `[N, D]` of a frozen encoder, `labels` `[N]`."""
    texts = [" ".join(row) for row in side.texts_at(numbers)]
    if len(found := numbers[suspects(vectors, texts, labels)]):
        share = len(found) / len(numbers)
        yield Finding(
            "label_noise",
            "serious" if share >= _SERIOUS else "warning",
            side.name,
            len(found),
            share,
            f"{len(found):,} of the {len(numbers):,} {side.name} rows looked at likely have a wrong label",
            "read them, the likeliest first, and correct or remove what is wrong; train.label_smoothing bears the rest",
            side.examples(found),
        )


def suspects(vectors: NDArray[np.float32], texts: Sequence[str], labels: Labels) -> Labels:
    """Numbers of the rows whose label is likely wrong, the likeliest first.

    `vectors` `[N, D]` of a frozen encoder, `labels` `[N]`. Labels with fewer rows than there are folds, whose rows
    would be learned from by chance, are left out; none where less than two are left.
    """
    names, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[inverse] >= _FOLDS)
    if len(rows) < FEWEST or (counts >= _FOLDS).sum() < 2:
        return np.zeros(0, dtype=np.int64)
    known = np.searchsorted(names[counts >= _FOLDS], labels[rows]).astype(np.int64)
    return rows[_suspects(vectors[rows].astype(np.float64), [texts[row] for row in rows.tolist()], known)]


def _suspects(vectors: Array, texts: Sequence[str], labels: Labels) -> Labels:
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    by_vector = out_of_fold(vectors, labels)
    words = _words(texts)
    by_word = out_of_fold(words, labels)
    grouped = _grouped(vectors, labels)
    groups = grouped.argmax(axis=1)
    follows = _agree(groups, labels) >= _agree(by_vector.argmax(axis=1), labels) - _FOLLOWED
    if follows and np.bincount(groups, minlength=grouped.shape[1]).min() >= _FOLDS:
        told = _agree(out_of_fold(words, groups).argmax(axis=1), groups)
        if told >= _agree(by_word.argmax(axis=1), labels) + _CLEARER:
            return _ranked(_accused(labels, grouped, "predicted_neq_given"), labels, grouped)
    both = _accused(labels, by_vector, "confident_learning") & _accused(labels, by_word, "confident_learning")
    mean = (by_vector + by_word) / 2
    return _ranked(both & outweighed(labels, mean), labels, mean)


def outweighed(labels: Labels, shares: Array) -> Flags:
    """Rows of which `shares` `[N, L]` give another label at least twice what they give the one in `labels` `[N]`."""
    rows = np.arange(len(labels))
    given, others = shares[rows, labels], shares.copy()
    others[rows, labels] = 0.0
    return np.asarray(others.max(axis=1) >= _SURER * given)


def out_of_fold(inputs: object, labels: Labels) -> Array:
    """What a logistic regression that did not see a row says of it, `[N, L]`. `inputs`: `[N, D]`, sparse or not."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    head = LogisticRegression(C=1.0, max_iter=300)
    return np.asarray(cross_val_predict(head, inputs, labels, cv=folds, method="predict_proba"), dtype=np.float64)


def _words(texts: Sequence[str]) -> object:
    """`[N, W]`, sparse."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, token_pattern=_WORD).fit_transform(texts)


def _grouped(vectors: Array, labels: Labels) -> Array:
    """How near each row is to the centre of each group, as shares `[N, L]`; a group that loses all rows stays put."""
    size = int(labels.max()) + 1
    groups = labels
    centres = np.zeros((size, vectors.shape[1]))
    near = np.zeros((len(vectors), size))
    for _ in range(_MOVES):
        for group in range(size):
            if (mine := groups == group).any():
                centre = vectors[mine].mean(axis=0)
                centres[group] = centre / max(float(np.linalg.norm(centre)), 1e-12)
        near = vectors @ centres.T
        groups = near.argmax(axis=1).astype(np.int64)
    weights = np.exp(near - near.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _agree(some: Labels, others: Labels) -> float:
    return float((some == others).mean())


def _accused(labels: Labels, shares: Array, how: str) -> Flags:
    from cleanlab.filter import find_label_issues

    # Processes of its own would cost more than they bring.
    return np.asarray(find_label_issues(labels, shares, filter_by=how, n_jobs=1), dtype=bool)


def _ranked(accused: Flags, labels: Labels, shares: Array) -> Labels:
    from cleanlab.rank import get_label_quality_scores

    rows = np.flatnonzero(accused)
    if not len(rows):
        return rows
    quality = get_label_quality_scores(labels, shares, method="normalized_margin")[rows]
    return rows[np.argsort(quality, kind="stable")]
