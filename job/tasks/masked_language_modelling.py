"""Masked language modelling, taught: find the words that are hidden in unlabelled text.

A base model that has read the texts of a domain so is a better base for the tasks of that domain.
"""

from typing import TYPE_CHECKING

from tunewright.job.data.cells import Cells
from tunewright.job.data.columns import Options
from tunewright.job.kinds.options import MaskingOptions
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Learner, Target, Task
from tunewright.job.kinds.texts import Texts
from tunewright.serving.bundle.model_file import ModelFile

if TYPE_CHECKING:
    from tunewright.job.measure.evaluation import Evaluation
    from tunewright.job.train.objective import Objective
    from tunewright.serving.predictor import Predictor


class HiddenWords(Target[object, None]):
    """Words of the text itself, which are hidden."""

    def problem(self, role: str, options: Options) -> str:
        """There is one."""
        return "masked"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Perplexity (between how many tokens the model hesitates), and the share of the masked tokens that are
        found."""
        return ("perplexity", "masked_accuracy")

    def purpose(self, model: ModelFile, subject: str) -> str:
        """Finds words, and is a base model."""
        return f"Finds masked words in {subject}; its weights are a base model for other tasks"

    def read(self, cells: Cells, value: object) -> None:
        """There is none in the data."""

    def objective(self, plan: Plan) -> "Objective":
        """Cross-entropy at the masked tokens."""
        from tunewright.job.learners import masked

        return masked.objective(plan)

    def evaluate(self, predictor: "Predictor", part: Part, plan: Plan) -> "Evaluation":
        """Each text masked once and alike for every variant."""
        from tunewright.job.learners import masked

        return masked.evaluate(predictor, part, plan)

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """Each masked token as often as it stands in the training texts."""
        from tunewright.job.learners import masked

        return masked.baseline(part, plan)


def _learner() -> Learner:
    from tunewright.job.learners.masked import MASKED_LEARNER

    return MASKED_LEARNER


MASKED_LANGUAGE_MODELLING = Task(
    about="Texts with hidden words to these words.",
    columns=Texts(pair=False),
    target=HiddenWords(),
    learner=_learner,
    options=MaskingOptions,
    uses=frozenset({"train.max_length", "train.max_tokens"}),
)
