"""Text regression, taught: one number per text or pair of texts, in the unit of the data."""

from functools import cache

from tunewright.job.kinds.number import Number
from tunewright.job.kinds.task import Learner, Task
from tunewright.job.kinds.texts import Texts


@cache
def _learner() -> Learner:
    from tunewright.job.learners.texts import TEXT_LEARNER

    return TEXT_LEARNER


TEXT_REGRESSION = Task(
    about="Texts or pairs of texts to numbers.",
    columns=Texts(),
    target=Number(),
    learner=_learner,
    uses=frozenset({"train.max_length", "train.pooling", "adapt"}),
)
