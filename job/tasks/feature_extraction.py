"""Feature extraction: a text to one vector, such that texts of one meaning have vectors of one direction.

Without scores nothing is learned: the base model, with its pooling, becomes a version that can be served. With pairs of
texts and scores the cosine of two vectors learns to follow the score, or is only measured by it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from tunewright.job.data.cells import Cells
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.kinds.number import Number
from tunewright.job.kinds.options import EmbeddingOptions
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Columns, Learner, Target, Task
from tunewright.job.kinds.texts import TEXT_SETTINGS
from tunewright.job.progress.events import say
from tunewright.job.settings.job import JobSettings
from tunewright.serving.bundle.model_file import ModelFile

if TYPE_CHECKING:
    from tunewright.job.batches.side import HeldTargets
    from tunewright.job.measure.evaluation import Evaluation
    from tunewright.job.train.objective import Objective
    from tunewright.serving.predictor import Predictor

FROZEN, SIMILARITY = "frozen", "similarity"
_KEPT = ("seed", "max_length")
"""Settings of `train` that mean something where nothing is trained."""
_NUMBER = Number()


class SingleTexts(Columns[str | Sequence[str]]):
    """Texts, or pairs of texts that a score compares. A caller sends single texts."""

    subject = "a text"
    media = ""
    uses = TEXT_SETTINGS

    def forms(self, targets: Sequence[str]) -> tuple[Form, ...]:
        """A text alone, or two with a target."""
        return (Form(("text",)), *(Form(("text", "text_pair"), target=target) for target in targets if target))

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """One text or two."""
        return pa.large_string() if len(roles.inputs) == 1 else pa.list_(pa.large_string())

    def read(self, cells: Cells) -> str | tuple[str, ...] | None:
        """The text, or both."""
        return cells.texts()

    def served(self, value: str | Sequence[str]) -> str:
        """One text: the first of a pair."""
        return value if isinstance(value, str) else value[0]

    def request(self, value: str | Sequence[str]) -> str:
        """One text: the first of a pair."""
        return self.served(value)


class Similarity(Target[object, float]):
    """How near two texts are in meaning; nothing where there are no scores."""

    roles = ("", "score")

    def problem(self, role: str, options: Options) -> str:
        """A column of scores is there to be learned from."""
        return SIMILARITY if role else FROZEN

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Rank correlation of cosine and score, and Pearson's; without scores the mean cosine between a file's vectors
        and those of torch."""
        return ("spearman", "pearson") if problem == SIMILARITY else ("fidelity",)

    def purpose(self, model: ModelFile, subject: str) -> str:
        """A vector."""
        return f"Turns {subject} into a vector of {model.options['dimensions']} numbers"

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """A number, or nothing."""
        return _NUMBER.arrow_type(roles) if roles.target else pa.null()

    def read(self, cells: Cells, value: object) -> float | None:
        """The number."""
        return _NUMBER.read(cells, value) if cells.roles.target else None

    def learn(self, targets: Sequence[float], role: str) -> list[str]:
        """None; DataError when all scores are equal."""
        if role:
            _NUMBER.learn(targets, role)
        return []

    def encode(self, targets: Sequence[float], labels: Sequence[str], problem: str) -> "HeldTargets":
        """`[N]` numbers."""
        return (
            _NUMBER.encode(targets, labels, problem)
            if problem == SIMILARITY
            else super().encode(targets, labels, problem)
        )

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say which cosine stands for which score."""
        from tunewright.job.measure.cosines import cosine_range, ends

        if problem == SIMILARITY:
            (low, high), (least, most) = cosine_range(sides["train"].targets[:]), ends(sides["train"].targets[:])
            say("split", f"scores from {least:g} to {most:g} stand for cosines from {low:g} to {high:g}")

    def contradictions(self, settings: JobSettings, roles: Roles, options: Options) -> list[str]:
        """Where nothing is trained, what is for training."""
        idle = _idle(self.problem(roles.target_role, options), options)
        if not idle:
            return []
        given = [f"train.{name}" for name in settings.train.model_fields_set if name not in _KEPT]
        given += ["adapt"] if settings.adapt else []
        return [f"{name} would have no effect: {idle}; remove it" for name in sorted(given)]

    def objective(self, plan: Plan) -> "Objective":
        """Squared distance between the cosine of two texts and their score."""
        from tunewright.job.learners import vectors

        return vectors.objective(plan, _idle(plan.prepared.problem, plan.prepared.options))

    def evaluate(self, predictor: "Predictor", part: Part, plan: Plan) -> "Evaluation":
        """How well cosines follow the scores; without scores, how close the vectors are to those of torch."""
        from tunewright.job.learners import vectors

        if plan.prepared.problem == FROZEN:
            return vectors.fidelity(predictor, part, plan)
        return vectors.similarity(predictor, part, plan)


def _learner() -> Learner:
    from tunewright.job.learners.vectors import VECTOR_LEARNER

    return VECTOR_LEARNER


FEATURE_EXTRACTION = Task(
    about="Texts to vectors.",
    columns=SingleTexts(),
    target=Similarity(),
    learner=_learner,
    options=EmbeddingOptions,
    uses=frozenset({"train.max_length", "train.max_tokens", "adapt"}),
)


def _idle(problem: str, options: Options) -> str:
    """Why nothing is trained; empty where the cosines learn."""
    if problem == FROZEN:
        return "without a column of scores nothing is trained"
    return "" if cast(EmbeddingOptions, options).learn else "options.learn is false, so that nothing is trained"
