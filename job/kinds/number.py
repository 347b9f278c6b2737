"""A number as what is learned, in the unit of the data.

Loss: squared error or Huber, in standard deviations of the training targets. The last layer learns numbers of
size 1; the exported graph answers in the unit of the data.
"""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tunewright.job.data.cells import Cells
from tunewright.job.data.columns import Options, Roles
from tunewright.job.errors import DataError
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Target
from tunewright.job.measure.metric import figures
from tunewright.job.progress.events import say
from tunewright.serving.bundle.model_file import ModelFile

if TYPE_CHECKING:
    from tunewright.job.batches.side import Targets
    from tunewright.job.measure.evaluation import Evaluation
    from tunewright.job.train.objective import Objective
    from tunewright.serving.predictor import Predictor

_LARGEST = 1e15
"""Numbers are learned in float32, which has seven digits and squares that end at 1e38."""
_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|inf(?:inity)?)", re.IGNORECASE)


class Number(Target[object, float]):
    """A number in a column `score`."""

    roles = ("score",)
    uses = frozenset({"train.huber_delta", "train.loss", "train.r_drop", "train.mixup", "train.distill"})
    uses |= {"data.unlabelled"}

    def problem(self, role: str, options: Options) -> str:
        """Always a number."""
        return "regression"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Spearman's correlation, which does not depend on the unit, Pearson's, and the root mean squared error."""
        return ("spearman", "pearson", "rmse")

    def purpose(self, model: ModelFile, subject: str) -> str:
        """A number for what."""
        return f"Gives a number to {'a pair of texts' if model.pair else subject}"

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """A number."""
        return pa.float64()

    def read(self, cells: Cells, value: object) -> float | None:
        """A finite number."""
        return cells.target(lambda found, role, settings: read_target(found))

    def learn(self, targets: Sequence[float], role: str) -> list[str]:
        """The name of the column's role."""
        return learn_labels(targets, role)

    def encode(self, targets: Sequence[float], labels: Sequence[str], problem: str) -> "Targets":
        """`[N]` numbers."""
        return encode_targets(targets)

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say where the numbers lie."""
        train = sides["train"].targets[:]
        say("split", f"targets from {train.min():g} to {train.max():g}, mean {train.mean():.3g}")

    def objective(self, plan: Plan) -> "Objective":
        """Squared error or Huber; the validation outputs give the figures."""
        from tunewright.job.measure.evaluation import gathered
        from tunewright.job.train.loss import loss_of
        from tunewright.job.train.losses import output_scale
        from tunewright.job.train.objective import Objective, Scored
        from tunewright.job.train.regularised import apart_of

        settings, targets, names = plan.settings.train, plan.prepared.train.targets[:], plan.prepared.metric_names

        def measure(scored: Scored) -> dict[str, float]:
            outputs, truths = gathered(scored)
            return figures(names, "regression", truths, outputs[:, 0])

        return Objective(
            loss=loss_of(settings, "regression", plan.prepared.labels, targets),
            measure=measure,
            metric=settings.metric or "spearman",
            scale=output_scale(targets),
            apart=apart_of("regression", output_scale(targets)[1]),
            gauged=True,
        )

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """Always the mean of the training numbers."""
        from tunewright.job.train.losses import output_scale

        mean, _ = output_scale(plan.prepared.train.targets[:])
        answers = np.full(len(part), mean, dtype=np.float32)
        return figures(plan.prepared.metric_names, "regression", np.asarray(part.targets), answers)

    def evaluate(self, predictor: "Predictor", part: Part, plan: Plan) -> "Evaluation":
        """The figures and their interval."""
        from tunewright.job.measure.evaluation import evaluated, logits_of, time_alone
        from tunewright.job.measure.rows.answers import NumberAnswers

        served = plan.prepared.task.columns.served
        answers, targets = logits_of(predictor, part.data, served)[:, 0], np.asarray(part.targets)
        return evaluated(
            lambda rows: figures(plan.prepared.metric_names, "regression", targets[rows], answers[rows]),
            len(part),
            headline="spearman",
            ms_per_text=time_alone(predictor, part.data, served),
            answers=NumberAnswers(np.asarray(targets, dtype=np.float32), answers),
        )


def read_target(value: object) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("is not a number")
    # Python reads more than data means: 1_3 is 13 to it, and digits of every script are.
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError("is not a number (use a point for decimals, nothing for thousands)")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("is not a finite number")
    if abs(number) > _LARGEST:
        raise ValueError(f"is too large (beyond {_LARGEST:g}); give the column another unit")
    return number


def learn_labels(targets: Sequence[float], role: str) -> list[str]:
    """The name of the column's role. DataError when all numbers are equal."""
    if len(set(targets)) < 2:
        raise DataError(f"all training rows have the same score ({targets[0]:g}): there is nothing to learn")
    return [role]


def encode_targets(targets: Sequence[float]) -> "Targets":
    """`[N]` float32."""
    return np.asarray(targets, dtype=np.float32)
