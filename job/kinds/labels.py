"""Labels as what is learned: read and ordered, encoded, measured; of whatever input, one vector of logits for each.

Loss: cross-entropy over the labels, or binary cross-entropy per label; weighted, smoothed or focal on request.
Axes: N rows, L labels.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tunewright.job.batches.label_sets import LabelSets
from tunewright.job.data.cells import Cells
from tunewright.job.data.columns import Options, Roles
from tunewright.job.data.faults import listed
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Target
from tunewright.job.measure.labels import Answered, answered, details, tune_thresholds
from tunewright.job.measure.metric import figures
from tunewright.job.progress.events import say, warn
from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.runtime.scores import tempered

if TYPE_CHECKING:
    from tunewright.job.batches.side import HeldTargets
    from tunewright.job.measure.calibration import Outcomes
    from tunewright.job.measure.evaluation import Evaluation
    from tunewright.job.train.objective import Objective
    from tunewright.serving.predictor import Predictor

LABEL_SETTINGS = frozenset(
    {f"data.{name}" for name in ("label_names", "skip_labels", "unknown_labels")}
    | {f"train.{name}" for name in ("class_weights", "focal_gamma", "sampling", "logit_adjustment", "imbalance")}
)
"""What is for labels of any kind."""
_RARE = 8
"""Rows under which a label is called rare."""


class Labels(Target[object, list[str]]):
    """One label of several in a column `label`, or any number of them in a column `labels`."""

    roles = ("label", "labels")
    closed = True
    uses = LABEL_SETTINGS | {"data.label_separator", "train.label_smoothing", "train.loss", "train.threshold"}
    uses |= {"train.r_drop", "train.mixup", "train.distill", "train.pseudo_labels", "data.unlabelled"}
    uses |= {"data.out_of_scope"}

    def problem(self, role: str, options: Options) -> str:
        """A column `label` holds one label, a column `labels` any number."""
        return "single_label" if role == "label" else "multi_label"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Accuracy, macro-F1 and Matthews' coefficient; of several labels macro-F1, micro-F1 and exact-match accuracy,
        since most of them are absent from most rows and accuracy says little."""
        return ("accuracy", "macro_f1", "mcc") if problem == "single_label" else ("macro_f1", "micro_f1", "accuracy")

    def purpose(self, model: ModelFile, subject: str) -> str:
        """How many labels for what."""
        count = "one label" if model.problem == "single_label" else "any number of labels"
        return f"Gives {count} to {'a pair of texts' if model.pair else subject}"

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """A list of labels."""
        return pa.list_(pa.string())

    def read(self, cells: Cells, value: object) -> list[str] | None:
        """The labels."""
        return cells.labels()

    def strata(self, target: list[str]) -> list[str]:
        """All labels of the row."""
        return target

    def learn(self, targets: Sequence[list[str]], role: str) -> list[str]:
        """The labels of the training rows."""
        return learn_labels(targets, role)

    def encode(self, targets: Sequence[list[str]], labels: Sequence[str], problem: str) -> "HeldTargets":
        """`[N]` label numbers, or which of L labels each row has."""
        return encode_targets(targets, labels, problem)

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say how the labels are distributed; DataError for one without a training row."""
        counts = _counts(sides["train"].targets, labels)
        _refuse_lost(counts, labels)
        _say_counts(counts, labels, problem)
        if problem == "single_label":
            _warn_single(sides, labels)

    def objective(self, plan: Plan) -> "Objective":
        """Cross-entropy or binary cross-entropy; the validation logits give the figures."""
        from tunewright.job.measure.evaluation import gathered
        from tunewright.job.train.loss import loss_of
        from tunewright.job.train.losses import label_weight
        from tunewright.job.train.objective import Objective, Scored
        from tunewright.job.train.regularised import apart_of

        prepared, settings = plan.prepared, plan.settings.train
        labels, targets, problem = prepared.labels, prepared.train.targets, prepared.problem
        if settings.threshold and settings.threshold.label not in labels:
            known = listed(labels, 12)
            raise SettingsError(f"train.threshold.label is {settings.threshold.label!r}; the labels are {known}")

        def measure(scored: Scored) -> dict[str, float]:
            logits, truths = gathered(scored)
            return figures(prepared.metric_names, problem, truths, answered(logits, truths, problem))

        return Objective(
            loss=loss_of(settings, problem, labels, targets),
            weight=label_weight(settings, labels, targets, problem),
            measure=measure,
            metric=settings.metric or prepared.task.headline(problem),
            apart=apart_of(problem),
            gauged=True,
        )

    def outcomes(self, predictor: "Predictor", part: Part, plan: Plan) -> "Outcomes":
        """The logits of each row beside its labels."""
        from tunewright.job.measure.calibration import outcomes_of
        from tunewright.job.measure.evaluation import logits_of

        return outcomes_of(logits_of(predictor, part.data, plan.prepared.task.columns.served), part.targets[:])

    def tune(self, draft: ModelFile, predictor: "Predictor", plan: Plan) -> ModelFile:
        """Several labels: a threshold for each, from the validation rows."""
        from tunewright.job.measure.evaluation import logits_of

        prepared, part = plan.prepared, plan.prepared.validation
        if prepared.problem == "single_label":
            return draft
        logits = logits_of(predictor, part.data, prepared.task.columns.served)
        logits = tempered(logits, draft.variants[predictor.variant].temperature)
        say("thresholds", f"tuned on {len(part):,} validation rows, one for each of {len(draft.labels)} labels")
        return draft.model_copy(update={"thresholds": tune_thresholds(logits, part.targets[:], prepared.problem)})

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """Always the commonest training label; each label that more than half of the training rows have."""
        taught = plan.prepared.train.targets
        # Of an imported model the rows may have labels beyond its own.
        shares = _counts(taught, plan.prepared.labels)[: len(plan.prepared.labels)] / len(taught)
        # Above 0 is above the threshold of one half.
        logits = np.tile(np.asarray(shares - 0.5, dtype=np.float32), (len(part), 1))
        prepared, truths = plan.prepared, part.targets[:]
        return figures(prepared.metric_names, prepared.problem, truths, answered(logits, truths, prepared.problem))

    def evaluate(self, predictor: "Predictor", part: Part, plan: Plan) -> "Evaluation":
        """The figures, their intervals and a table by label."""
        from tunewright.job.measure.calibration import calibration
        from tunewright.job.measure.evaluation import evaluated, time_alone
        from tunewright.job.measure.rows.answers import label_answers

        task, problem, thresholds = plan.prepared.task, predictor.model.problem, predictor.model.thresholds
        found = self.outcomes(predictor, part, plan)
        logits = tempered(found.logits, predictor.temperature)
        answers = answered(logits, part.targets[:], problem, thresholds)

        def measure(rows: NDArray[np.int64]) -> dict[str, float]:
            some = Answered(logits[rows], answers.predicted[rows])
            return figures(plan.prepared.metric_names, problem, part.targets[rows], some)

        return evaluated(
            measure,
            len(part),
            headline=task.headline(problem),
            details=details(logits, part.targets[:], predictor.model.labels, thresholds),
            ms_per_text=time_alone(predictor, part.data, task.columns.served),
            answers=label_answers(logits, part.targets[:], answers, problem),
            calibration=calibration(found, predictor.temperature),
        )


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


def encode_targets(targets: Sequence[list[str]], labels: Sequence[str], problem: str) -> "HeldTargets":
    """`[N]` int64 label numbers, or which of L labels each row has.

    Labels that training never saw (where the settings count them as wrong) get the numbers and columns from L on.
    """
    number = {label: index for index, label in enumerate(labels)}
    for label in sorted({label for target in targets for label in target} - set(labels)):
        number[label] = len(number)
    if problem == "single_label":
        return np.fromiter((number[target[0]] for target in targets), dtype=np.int64, count=len(targets))
    sizes = np.fromiter((len(set(target)) for target in targets), dtype=np.int64, count=len(targets))
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    numbers = (number[label] for target in targets for label in dict.fromkeys(target))
    return LabelSets(starts, np.fromiter(numbers, dtype=np.int32, count=int(starts[-1])), len(number))


def _counts(targets: "HeldTargets", labels: list[str]) -> NDArray[np.int64]:
    """Rows of each label."""
    if isinstance(targets, np.ndarray) and targets.ndim == 1:
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
