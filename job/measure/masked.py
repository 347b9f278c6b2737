"""How well hidden words are found.

Axes: M masked tokens of a batch, V tokens of the vocabulary.
"""

import numpy as np
from numpy.typing import NDArray

from tunewright.job.batches.masked import Ids
from tunewright.job.batches.side import Array
from tunewright.job.train.next_token import perplexity
from tunewright.job.train.objective import Scored
from tunewright.serving.runtime.scores import cross_entropy


def figures(scored: Scored) -> dict[str, float]:
    """Perplexity and accuracy over all masked tokens."""
    totals = np.zeros(3)
    for _, batch, logits in scored:
        totals += found(logits.cpu().numpy(), batch["targets"].cpu().numpy())
    return of_totals(totals)


def found(logits_MV: Array, targets_M: Ids) -> Array:
    """Sum of the cross-entropies, tokens that were found, tokens that were to be found: `[3]`."""
    entropy_M = cross_entropy(logits_MV, targets_M)
    is_best_M = logits_MV.argmax(axis=-1) == targets_M
    return np.array([entropy_M.sum(), is_best_M.sum(), len(targets_M)], dtype=np.float32)


def of_totals(totals: NDArray[np.float64]) -> dict[str, float]:
    """The figures of summed results of `found`, `[3]`."""
    entropy, right, tokens = totals
    return {"perplexity": perplexity(entropy, tokens), "masked_accuracy": float(right / max(tokens, 1))}
