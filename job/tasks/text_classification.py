"""Text classification, taught: one label of several, or any number of them; over one text or a pair."""

from tunewright.job.kinds.labels import Labels
from tunewright.job.kinds.task import Learner, Task
from tunewright.job.kinds.texts import TEXT_CHANGES, Texts


def text_learner() -> Learner:
    """Models of texts through one graph."""
    from tunewright.job.learners.texts import TEXT_LEARNER

    return TEXT_LEARNER


TEXT_CLASSIFICATION = Task(
    about="Texts or pairs of texts to labels.",
    columns=Texts(),
    target=Labels(),
    learner=text_learner,
    uses=frozenset({"train.max_length", "train.max_tokens", "train.pooling", "train.few_shot", "adapt"}),
    augments=TEXT_CHANGES,
)
