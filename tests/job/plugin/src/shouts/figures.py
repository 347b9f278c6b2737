"""A metric and a loss."""

from sklearn.metrics import cohen_kappa_score

from tunewright.job.measure.metric import Metric
from tunewright.job.train.loss import Loss


def _margin(settings, labels, targets):
    import torch.nn.functional as functional

    return functional.multi_margin_loss


KAPPA = Metric("kappa", {"single_label": lambda truth, answers: cohen_kappa_score(truth, answers.predicted)})
MARGIN = Loss("margin", ("single_label",), _margin)
