"""What plain means reach on the same rows: a linear model of the words (TF-IDF, logistic or ridge regression).

A fine-tuned model that is no better than this costs more than it gives. It is made of at most `MOST_ROWS` training
rows, fewer where there are many labels, so that it takes seconds.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Numbers = NDArray[np.float32]
MOST_ROWS = 20_000
_MOST_WORK = 1_000_000
"""Rows times labels."""
_MOST_LABELS = 200
"""With more of them it is left out."""


def rows_for(labels: int) -> int:
    """How many training rows it is made of at most; 0 where there are too many labels."""
    return 0 if labels > _MOST_LABELS else min(MOST_ROWS, _MOST_WORK // max(labels, 1))


def linear_answers(
    train: Sequence[str], targets: NDArray[np.generic], test: Sequence[str], problem: str, labels: int
) -> Numbers:
    """Logits `[N, L]` of the test texts, or numbers `[N]` where a number is learned.

    `targets`: label numbers, zeros and ones, or numbers, of the training texts.
    """
    words = words_of(train)
    try:
        known = words.fit_transform(train)
    except ValueError:  # no word of them is one
        return np.zeros((len(test),) if problem == "regression" else (len(test), labels), dtype=np.float32)
    asked = words.transform(test)
    if problem == "regression":
        from sklearn.linear_model import Ridge

        return np.asarray(Ridge(alpha=1.0).fit(known, targets).predict(asked), dtype=np.float32)
    if problem == "multi_label":
        return np.stack([_decided(known, targets[:, one], asked) for one in range(labels)], axis=1)
    return _of_one(known, targets, asked, labels)


def words_of(train: Sequence[str]) -> "TfidfVectorizer":
    """What cuts texts into words and pairs of words and weighs them, not yet fitted."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Letters within words serve scripts without spaces as well, where a word is a sentence.
    unspaced = _is_unspaced(train)
    cut = (
        {"analyzer": "char", "ngram_range": (1, 2)}
        if unspaced
        else {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
    )
    return TfidfVectorizer(sublinear_tf=True, min_df=2 if len(train) > 200 else 1, max_features=100_000, **cut)


def _of_one(known: object, targets: NDArray[np.generic], asked: object, labels: int) -> Numbers:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10.0, max_iter=200, tol=1e-3).fit(known, targets)
    decided = np.asarray(model.decision_function(asked), dtype=np.float32)
    logits = np.full((len(decided), labels), -1e4, dtype=np.float32)
    if decided.ndim == 1:
        decided = np.stack([np.zeros_like(decided), decided], axis=1)
    logits[:, model.classes_.astype(np.int64)] = decided
    return logits


def _decided(known: object, has: NDArray[np.generic], asked: object) -> Numbers:
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(has)) < 2:
        return np.full(asked.shape[0], 10.0 if has[0] else -10.0, dtype=np.float32)  # type: ignore[attr-defined]
    model = LogisticRegression(C=10.0, solver="liblinear", tol=1e-3).fit(known, has)
    return np.asarray(model.decision_function(asked), dtype=np.float32)


def _is_unspaced(texts: Sequence[str]) -> bool:
    from tunewright.job.measure.written import is_unspaced

    return is_unspaced(texts)
