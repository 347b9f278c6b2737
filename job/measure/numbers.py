"""How near numbers come.

Axes: N rows.
"""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]


def spearman(targets: Numbers, answers: Numbers) -> float:
    """Spearman's rank correlation; 0 where one side is constant."""
    from scipy.stats import spearmanr

    return 0.0 if _is_constant(targets, answers) else float(spearmanr(answers, targets).statistic)


def pearson(targets: Numbers, answers: Numbers) -> float:
    """Pearson's correlation; 0 where one side is constant."""
    from scipy.stats import pearsonr

    return 0.0 if _is_constant(targets, answers) else float(pearsonr(answers, targets).statistic)


def rmse(targets: Numbers, answers: Numbers) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((answers - targets).astype(np.float64) ** 2)))


def _is_constant(targets: Numbers, answers: Numbers) -> bool:
    return bool(np.ptp(answers) == 0 or np.ptp(targets) == 0)
