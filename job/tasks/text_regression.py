"""Text regression, taught: one number per text or pair of texts, in the unit of the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from torch import nn

from tunewright.job.batches.side import Targets
from tunewright.job.data.check import Cells
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.kinds import regression
from tunewright.job.kinds.task import Part, Plan
from tunewright.job.kinds.text import TextTask
from tunewright.job.measure.evaluation import Evaluation, evaluated, gathered, logits_of, time_alone
from tunewright.job.model.build import scale_head
from tunewright.job.progress import say
from tunewright.job.train.objective import Objective
from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.predictor import Predictor


class TextRegression(TextTask):
    """Texts or pairs of texts to numbers."""

    FORMS = (Form(("text",), ("text_pair",), "score"),)

    def problem(self, target_role: str, options: Options) -> str:
        """Always a number."""
        return "regression"

    def purpose(self, model: ModelFile) -> str:
        """A number."""
        return f"Gives a number to {'a pair of texts' if model.pair else 'a text'}"

    def headline(self, problem: str) -> str:
        """Spearman's rank correlation: it does not depend on the unit."""
        return "spearman"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Spearman's and Pearson's correlation and the root mean squared error."""
        return ("spearman", "pearson", "rmse")

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """One text or two, and a number."""
        return self.text_type(roles), pa.float64()

    def read(self, cells: Cells) -> tuple[Any, Any] | None:
        """The text or texts, and the number."""
        text, score = cells.texts(), cells.target(lambda value, role, settings: regression.read_target(value))
        return None if text is None or score is None else (text, score)

    def learn_labels(self, targets: Sequence[float], role: str) -> list[str]:
        """The name of the column's role."""
        return regression.learn_labels(targets, role)

    def encode_targets(self, targets: Sequence[float], labels: Sequence[str], problem: str) -> Targets:
        """`[N]` numbers."""
        return regression.encode_targets(targets)

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say where the numbers lie."""
        train = sides["train"].targets
        say("split", f"targets from {train.min():g} to {train.max():g}, mean {train.mean():.3g}")

    def objective(self, plan: Plan) -> Objective:
        """Squared error or Huber; the validation outputs give the figures."""
        settings, targets = plan.settings.train, plan.prepared.train.targets
        return Objective(
            loss=regression.make_loss(settings, targets),
            measure=lambda scored: regression.metrics(*gathered(scored)),
            metric=settings.metric or "spearman",
            scale=regression.output_scale(targets),
        )

    def finish(self, model: nn.Module, objective: Objective) -> None:
        """The graph answers in the unit of the data."""
        scale_head(model, objective.scale)

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """Always the mean of the training numbers."""
        mean, _ = regression.output_scale(plan.prepared.train.targets)
        return regression.metrics(np.full((len(part), 1), mean, dtype=np.float32), np.asarray(part.targets))

    def evaluate(self, predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
        """The figures and their interval."""
        outputs = logits_of(predictor, part.data, self.served)
        return evaluated(
            lambda rows: regression.metrics(outputs[rows], np.asarray(part.targets)[rows]),
            len(part),
            headline="spearman",
            ms_per_text=time_alone(predictor, part.data, self.served),
        )
