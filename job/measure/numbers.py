"""How near numbers come: Spearman's and Pearson's correlation, root mean squared error."""

import numpy as np
from scipy.stats import pearsonr, spearmanr

from tunewright.job.batches.side import Array, Targets


def metrics(logits: Array, targets: Targets) -> dict[str, float]:
    """Spearman's and Pearson's correlation (0 where an answer is constant) and the root mean squared error."""
    answers = logits[:, 0]
    constant = np.ptp(answers) == 0 or np.ptp(targets) == 0
    return {
        "spearman": 0.0 if constant else float(spearmanr(answers, targets).statistic),
        "pearson": 0.0 if constant else float(pearsonr(answers, targets).statistic),
        "rmse": float(np.sqrt(np.mean((answers - targets).astype(np.float64) ** 2))),
    }
