"""Rows that stand for all: clusters of their vectors, and the row in the middle of each.

Axes: N rows, D numbers of a vector.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.runtime.scores import normalized

_WORDS, _NUMBERS = 20_000, 100
"""Words that texts are told apart by, and numbers that are made of them, at most."""


def vectors_of_words(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors `[N, D]` of texts by their words (TF-IDF, then its largest singular values), where no model gives any."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    found = TfidfVectorizer(max_features=_WORDS, sublinear_tf=True, analyzer=str.split).fit_transform(texts)
    numbers = min(_NUMBERS, found.shape[1] - 1, found.shape[0] - 1)
    if numbers < 1:
        return np.zeros((len(texts), 1), np.float32)
    return normalized(TruncatedSVD(numbers, random_state=0).fit_transform(found))


def middles(vectors_ND: NDArray[np.float32], take: int, seed: int) -> list[int]:
    """So many rows: of each of as many clusters (k-means) the row nearest to its middle, large clusters first."""
    from sklearn.cluster import MiniBatchKMeans

    if take >= len(vectors_ND):
        return list(range(len(vectors_ND)))
    clusters = MiniBatchKMeans(take, random_state=seed, n_init=1, batch_size=4096).fit(vectors_ND)
    sizes = np.bincount(clusters.labels_, minlength=take)
    left = np.ones(len(vectors_ND), bool)
    found: list[int] = []
    for cluster in np.argsort(-sizes, kind="stable"):
        away = ((vectors_ND - clusters.cluster_centers_[cluster]) ** 2).sum(axis=1)
        found.append(int(np.where(left, away, np.inf).argmin()))
        left[found[-1]] = False
    return found
