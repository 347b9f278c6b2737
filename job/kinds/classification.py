"""Classification, of whatever input: labels read and ordered, losses, thresholds, figures.

Loss: cross-entropy over the labels, or binary cross-entropy per label; weighted, smoothed or focal on request.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from sklearn.metrics import f1_score, matthews_corrcoef, precision_recall_fscore_support

from tunewright.job.batches.side import Array, Targets
from tunewright.job.data.columns import Options
from tunewright.job.data.faults import listed
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.kinds.task import Part, Plan, Task
from tunewright.job.measure.evaluation import Evaluation, evaluated, gathered, logits_of, time_alone
from tunewright.job.progress import say, warn
from tunewright.job.settings.job import TrainSettings
from tunewright.job.train.objective import Loss, Objective
from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.predictor import Predictor
from tunewright.serving.runtime.scores import scores

_RARE = 8
"""Rows under which a label is called rare."""


def metric_names(problem: str) -> tuple[str, ...]:
    """Accuracy, macro-F1 and Matthews' coefficient; or macro-F1, micro-F1 and exact-match accuracy."""
    return ("accuracy", "macro_f1", "mcc") if problem == "single_label" else ("macro_f1", "micro_f1", "accuracy")


def learn_labels(targets: Sequence[list[str]], role: str) -> list[str]:
    """All labels of the training rows, numbers in numeric order. DataError for fewer than two, or for a lone row."""
    counts = Counter(label for target in targets for label in target)
    wanted = 2 if role == "label" else 1
    if len(counts) < wanted:
        found = ", ".join(repr(label) for label in counts) or "none"
        held = f"{len(counts)} label" + ("" if len(counts) == 1 else "s")
        raise DataError(
            f"the training rows hold {held} ({found}); at least {wanted} {'is' if wanted == 1 else 'are'} needed"
        )
    _refuse_decimals(counts)
    lone = sorted(label for label, count in counts.items() if count == 1)
    if lone:
        raise DataError(
            f"label {lone[0]!r} has only one training row"
            + (f" (so have {len(lone) - 1} more)" if lone[1:] else "")
            + "; a label needs two or more to be learned: add rows, merge the label with another, or remove it"
        )
    return sorted(counts, key=_label_order)


def _refuse_decimals(counts: Counter[str]) -> None:
    """A missing value turns whole numbers into decimals in pandas: 1.0 beside 1 is one label written twice."""
    decimals = sorted(label for label in counts if re.fullmatch(r"-?\d+\.0+", label) and label.split(".")[0] in counts)
    if decimals:
        one, other = decimals[0], decimals[0].split(".")[0]
        raise DataError(
            f"the training rows hold the labels {one!r} ({counts[one]:,}) and {other!r} ({counts[other]:,}), one "
            "number written in two ways, as pandas does beside a missing value; write whole numbers "
            '(astype("Int64")), or give both one name in data.label_names'
        )


def _label_order(label: str) -> tuple[int, float, str]:
    return (0, float(label), label) if re.fullmatch(r"-?\d+", label) else (1, 0.0, label)


def encode_targets(targets: Sequence[list[str]], labels: Sequence[str], problem: str) -> Targets:
    """`[N]` int64 label numbers, or `[N, L]` float32 zeros and ones.

    Labels that training never saw (where the settings count them as wrong) get the numbers and columns from L on.
    """
    number = {label: index for index, label in enumerate(labels)}
    for label in sorted({label for target in targets for label in target} - set(labels)):
        number[label] = len(number)
    if problem == "single_label":
        return np.array([number[target[0]] for target in targets], dtype=np.int64)
    encoded = np.zeros((len(targets), len(number)), dtype=np.float32)
    for row, target in zip(encoded, targets, strict=True):
        row[[number[label] for label in target]] = 1.0
    return encoded


def make_loss(settings: TrainSettings, labels: Sequence[str], targets: Targets, problem: str) -> Loss:
    """Cross-entropy or binary cross-entropy, in the form the settings ask for."""
    if settings.huber_delta is not None:
        raise SettingsError("train.huber_delta belongs to regression; remove it from a classification")
    weights = _weights(settings, labels, targets, problem)
    if problem == "multi_label":
        if settings.label_smoothing:
            raise SettingsError("train.label_smoothing works with one label a row, not with several; set it to 0")
        return _binary_loss(weights, settings.focal_gamma)
    return _categorical_loss(weights, settings.focal_gamma, settings.label_smoothing)


def make_weight(
    settings: TrainSettings, labels: Sequence[str], targets: Targets, problem: str
) -> Callable[[torch.Tensor], float]:
    """What the loss is a mean over: the rows, or the weights of their labels."""
    weights = _weights(settings, labels, targets, problem)
    if weights is None or problem == "multi_label" or settings.focal_gamma:
        return len
    return lambda wanted: float(weights[wanted.cpu()].sum())


def _weights(settings: TrainSettings, labels: Sequence[str], targets: Targets, problem: str) -> torch.Tensor | None:
    given = settings.class_weights
    if given is None:
        return None
    if given == "balanced":
        return torch.tensor(_balanced(targets, len(labels), problem), dtype=torch.float32)
    unknown = sorted(set(given) - set(labels))
    if unknown:
        raise SettingsError(f"train.class_weights names {unknown[0]!r}; the labels are {', '.join(labels)}")
    return torch.tensor([given.get(label, 1.0) for label in labels], dtype=torch.float32)


def _balanced(targets: Targets, labels: int, problem: str) -> Array:
    """Single label: N / (L * count), as in scikit-learn. Multi label: sqrt(absent / present), which keeps rare
    labels from drowning every other (the plain ratio is over 500 for a label in 0.2 % of the rows)."""
    if problem == "single_label":
        # A label may have no row on this side of the split: it counts as one.
        counts = np.bincount(targets, minlength=labels).clip(min=1)
        return np.asarray(len(targets) / (labels * counts), dtype=np.float32)
    present = targets.sum(axis=0).clip(1, len(targets) - 1)
    return np.asarray(np.sqrt((len(targets) - present) / present), dtype=np.float32)


def _categorical_loss(weights: torch.Tensor | None, gamma: float, smoothing: float) -> Loss:
    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weight = None if weights is None else weights.to(logits.device)
        if not gamma:
            return functional.cross_entropy(logits, targets, weight, label_smoothing=smoothing)
        rows = functional.cross_entropy(logits, targets, weight, label_smoothing=smoothing, reduction="none")
        right = logits.softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
        return ((1 - right) ** gamma * rows).mean()

    return loss


def _binary_loss(weights: torch.Tensor | None, gamma: float) -> Loss:
    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weight = None if weights is None else weights.to(logits.device)
        cells = functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="none")
        if gamma:
            right = torch.where(targets > 0.5, logits.sigmoid(), (-logits).sigmoid())
            cells = (1 - right) ** gamma * cells
        return cells.mean()

    return loss


def tune_thresholds(logits: Array, targets: Targets, problem: str) -> list[float] | None:
    """Multi label: for each label the score that gives the best F1 on these rows; 0.5 where there is none to find."""
    if problem == "single_label":
        return None
    probabilities = scores(logits, "sigmoid")
    return [_best_threshold(probabilities[:, label], targets[:, label]) for label in range(logits.shape[1])]


def _best_threshold(scores: Array, truth: Targets) -> float:
    """The middle between two neighbouring scores where F1 = 2 TP / (predicted + present) is largest."""
    if not truth.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    true_positives = np.cumsum(truth[order])
    f1 = 2 * true_positives / (np.arange(1, len(order) + 1) + truth.sum())
    # A cut between equal scores cannot be made.
    f1[:-1][ranked[:-1] == ranked[1:]] = 0
    best = int(f1.argmax())
    following = ranked[best + 1] if best + 1 < len(ranked) else np.float32(0)
    middle = np.float32((ranked[best] + following) / 2)
    # Between two numbers that are neighbours in float32 there is none.
    return float(middle if middle > following else ranked[best])


def _predicted(logits: Array, thresholds: Sequence[float] | None) -> NDArray[Any]:
    """`[N]` label numbers, or `[N, L]` zeros and ones where there are thresholds."""
    if thresholds is None:
        return np.asarray(logits.argmax(axis=-1))
    return (scores(logits, "sigmoid") >= np.asarray(thresholds, dtype=np.float32)).astype(np.float32)


def metrics(
    logits: Array, targets: Targets, problem: str, thresholds: Sequence[float] | None = None
) -> dict[str, float]:
    """The figures of `metric_names`; several labels are predicted from their thresholds, 0.5 where none are given."""
    if problem == "single_label":
        predicted = _predicted(logits, None)
        return {
            "accuracy": float((predicted == targets).mean()),
            # Over the labels there are, predicted or not: those that stand in neither have no F1.
            "macro_f1": float(f1_score(targets, predicted, average="macro", zero_division=0)),
            "mcc": float(matthews_corrcoef(targets, predicted)),
        }
    predicted = _predicted(logits, thresholds or [0.5] * logits.shape[1])
    # What training never saw is never predicted.
    predicted = np.pad(predicted, ((0, 0), (0, targets.shape[1] - logits.shape[1])))
    right, found = (predicted * targets).sum(axis=0), predicted.sum(axis=0) + targets.sum(axis=0)
    return {
        "macro_f1": float(_f1(right, found).mean()),
        "micro_f1": float(_f1(right.sum(), found.sum())),
        "accuracy": float((predicted == targets).all(axis=-1).mean()),
    }


def _f1(right: NDArray[Any], found: NDArray[Any]) -> NDArray[Any]:
    """2 TP / (predicted + present), 0 where there is neither; an interval asks for it hundreds of times."""
    return np.asarray(2 * right / np.maximum(found, 1), dtype=np.float64)


def details(
    logits: Array, targets: Targets, labels: Sequence[str], thresholds: Sequence[float] | None = None
) -> list[Mapping[str, Any]]:
    """Precision, recall, F1 and number of rows of each label."""
    several = targets.ndim == 2
    predicted = _predicted(logits, (thresholds or [0.5] * len(labels)) if several else None)
    numbers = None if several else np.arange(len(labels))
    known = targets[:, : len(labels)] if several else targets
    table = precision_recall_fscore_support(known, predicted, labels=numbers, zero_division=0)
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for label, p, r, f, n in zip(labels, *table, strict=True)
    ]


class ClassificationTask(Task):
    """The part of a classification that does not depend on what is classified: one vector of logits per input."""

    CLOSED = True
    SUBJECT = "a text"
    """What one input is called."""

    def problem(self, target_role: str, options: Options) -> str:
        """A column `label` holds one label, a column `labels` any number."""
        return "single_label" if target_role == "label" else "multi_label"

    def headline(self, problem: str) -> str:
        """Accuracy, or macro-F1 where most labels are absent from most rows and accuracy says little."""
        return metric_names(problem)[0]

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """The figures of an evaluation, the headline first."""
        return metric_names(problem)

    def purpose(self, model: ModelFile) -> str:
        """How many labels for what."""
        count = "one label" if model.problem == "single_label" else "any number of labels"
        return f"Gives {count} to {'a pair of texts' if model.pair else self.SUBJECT}"

    def strata(self, target: list[str]) -> list[str]:
        """All labels of the row."""
        return target

    def learn_labels(self, targets: Sequence[list[str]], role: str) -> list[str]:
        """The labels of the training rows."""
        return learn_labels(targets, role)

    def encode_targets(self, targets: Sequence[list[str]], labels: Sequence[str], problem: str) -> Targets:
        """`[N]` label numbers, or `[N, L]` zeros and ones."""
        return encode_targets(targets, labels, problem)

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say how the labels are distributed; DataError for one without a training row."""
        counts = _counts(sides["train"].targets, labels)
        _refuse_lost(counts, labels)
        _say_counts(counts, labels, problem)
        if problem == "single_label":
            _warn_single(sides, labels)

    def objective(self, plan: Plan) -> Objective:
        """Cross-entropy or binary cross-entropy; the validation logits give the figures."""
        prepared, settings = plan.prepared, plan.settings.train
        targets = prepared.train.targets
        return Objective(
            loss=make_loss(settings, prepared.labels, targets, prepared.problem),
            weight=make_weight(settings, prepared.labels, targets, prepared.problem),
            measure=lambda scored: metrics(*gathered(scored), prepared.problem),
            metric=settings.metric or self.headline(prepared.problem),
        )

    def tune(self, draft: ModelFile, predictor: Predictor, plan: Plan) -> ModelFile:
        """Several labels: a threshold for each, from the validation rows."""
        part = plan.prepared.validation
        if plan.prepared.problem == "single_label":
            return draft
        thresholds = tune_thresholds(logits_of(predictor, part.data, self.served), part.targets, plan.prepared.problem)
        say("thresholds", f"tuned on {len(part):,} validation rows, one for each of {len(draft.labels)} labels")
        return draft.model_copy(update={"thresholds": thresholds})

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """Always the commonest training label; each label that more than half of the training rows have."""
        problem, taught = plan.prepared.problem, plan.prepared.train.targets
        shares = _counts(taught, plan.prepared.labels) / len(taught)
        # Above 0 is above the threshold of one half.
        logits = np.tile(np.asarray(shares - 0.5, dtype=np.float32), (len(part), 1))
        return metrics(logits, part.targets, problem, None)

    def evaluate(self, predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
        """The figures, their intervals and a table by label."""
        problem, thresholds = predictor.model.problem, predictor.model.thresholds
        logits = logits_of(predictor, part.data, self.served)
        return evaluated(
            lambda rows: metrics(logits[rows], part.targets[rows], problem, thresholds),
            len(part),
            headline=self.headline(problem),
            details=[dict(row) for row in details(logits, part.targets, predictor.model.labels, thresholds)],
            ms_per_text=time_alone(predictor, part.data, self.served),
        )


def _counts(targets: Targets, labels: list[str]) -> NDArray[np.int64]:
    """Rows of each label."""
    if targets.ndim == 1:
        return np.bincount(targets, minlength=len(labels))
    return np.asarray(targets.sum(axis=0).astype(np.int64))


def _refuse_lost(counts: NDArray[np.int64], labels: list[str]) -> None:
    """A label can lose all its training rows to data.limit or to a side."""
    lost = [label for label, count in zip(labels, counts, strict=True) if not count]
    if lost:
        raise DataError(
            f"label {lost[0]!r} has no training row left after data.limit and the split"
            + (f" (so have {len(lost) - 1} more)" if lost[1:] else "")
            + "; raise data.limit, add rows, or give data.validation and data.test"
        )


def _warn_single(sides: Mapping[str, Part], labels: list[str]) -> None:
    """Rows of one label cannot tell a model from one that always says it."""
    for name in ("validation", "test"):
        found = np.unique(sides[name].targets)
        if len(found) == 1:
            label = labels[found[0]] if found[0] < len(labels) else "one that no training row has"
            warn("split", f"all rows of {name} have one label ({label}): its figures say little")


def _say_counts(counts: NDArray[np.int64], labels: list[str], problem: str) -> None:
    order = np.argsort(-counts, kind="stable")
    say("split", f"{len(labels)} labels: {listed((f'{labels[i]} {counts[i]:,}' for i in order), 6)}")
    rare = [labels[i] for i in order if counts[i] < _RARE]
    if rare:
        warn(
            "split",
            f"labels with under {_RARE} training rows: {len(rare)}, such as {rare[-1]!r}; expect little of them",
        )
    if problem == "single_label" and counts.max() > 0.99 * counts.sum():
        warn("split", f"{counts.max() / counts.sum():.1%} of the rows have one label: accuracy says nothing here")
