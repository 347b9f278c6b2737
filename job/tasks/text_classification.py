"""Text classification, taught: one label of several, or any number of them; over one text or a pair."""

from functools import cache

from tunewright.job.kinds.labels import Labels
from tunewright.job.kinds.task import Learner, Task
from tunewright.job.kinds.texts import Texts


@cache
def _learner() -> Learner:
    from tunewright.job.learners.texts import TEXT_LEARNER

    return TEXT_LEARNER


TEXT_CLASSIFICATION = Task(
    about="Texts or pairs of texts to labels.",
    columns=Texts(),
    target=Labels(),
    learner=_learner,
    uses=frozenset({"train.max_length", "train.pooling", "train.few_shot", "adapt"}),
)
