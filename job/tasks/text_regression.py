"""Text regression, taught: one number per text or pair of texts, in the unit of the data."""

from tunewright.job.kinds.number import Number
from tunewright.job.kinds.task import Task
from tunewright.job.kinds.texts import TEXT_CHANGES, Texts
from tunewright.job.tasks.text_classification import text_learner

TEXT_REGRESSION = Task(
    about="Texts or pairs of texts to numbers.",
    columns=Texts(),
    target=Number(),
    learner=text_learner,
    uses=frozenset({"train.max_length", "train.max_tokens", "train.pooling", "adapt"}),
    augments=TEXT_CHANGES,
)
