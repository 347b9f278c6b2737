"""A text that is to be written for another one: how it is read, and how near what was written comes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tunewright.job.data.cells import Cells
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Columns, Learner, Target
from tunewright.job.kinds.texts import TEXT_SETTINGS
from tunewright.job.measure.metric import figures as more_figures
from tunewright.job.settings.job import JobSettings
from tunewright.serving.bundle.model_file import ModelFile

if TYPE_CHECKING:
    from tunewright.job.measure.evaluation import Evaluation
    from tunewright.job.train.objective import Objective
    from tunewright.serving.predictor import Predictor


@dataclass(frozen=True)
class TextFigures:
    """How near written texts are to those that were to be written."""

    measure: Callable[[NDArray[np.int64]], dict[str, float]]
    """The figures of the rows with these numbers."""
    of_all: dict[str, float] = field(default_factory=dict)
    """Figures of all rows that take long."""


class Sources(Columns[str]):
    """Texts for which others are to be written."""

    subject = "a text"
    media = ""
    uses = TEXT_SETTINGS

    def forms(self, targets: Sequence[str]) -> tuple[Form, ...]:
        """A source with a target."""
        return tuple(Form(("source",), target=target) for target in targets)

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """A text."""
        return pa.large_string()

    def read(self, cells: Cells) -> str | None:
        """The source, which is not empty."""
        return cells.text("source")


@dataclass(frozen=True)
class WrittenText(Target[object, str]):
    """A text in a column `target`."""

    does: str
    """What a model does that has learned to write it."""
    metrics: tuple[str, ...]
    """The figures that `compare` gives, the headline first."""
    compare: Callable[[Sequence[str], Sequence[str]], TextFigures]
    """Written texts and those that were to be written to their figures."""
    answer: str
    """Under which name the server answers."""
    roles: tuple[str, ...] = ("target",)
    uses: frozenset[str] = frozenset({"train.label_smoothing"})

    def problem(self, role: str, options: Options) -> str:
        """There is one."""
        return "text_to_text"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Figures of written texts, and perplexity of the targets."""
        return (*self.metrics, "perplexity")

    def purpose(self, model: ModelFile, subject: str) -> str:
        """What it does."""
        return self.does

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """A text."""
        return pa.large_string()

    def read(self, cells: Cells, value: object) -> str | None:
        """The target, which is not empty."""
        return cells.text("target")

    def contradictions(self, settings: JobSettings, roles: Roles, options: Options) -> list[str]:
        """After an epoch the perplexity alone is known."""
        return only_perplexity(settings)

    def objective(self, plan: Plan) -> "Objective":
        """Cross-entropy of the targets."""
        from tunewright.job.learners import text_to_text

        return text_to_text.objective(plan)

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """The source as it is."""
        figures = self.compare([str(text) for text in part.data.inputs()], [str(t) for t in part.data.targets()])
        return {**figures.measure(np.arange(len(part))), **figures.of_all}

    def evaluate(self, predictor: "Predictor", part: Part, plan: Plan) -> "Evaluation":
        """Texts as the server writes them against the targets, and the perplexity of the targets."""
        from tunewright.job.learners.text_to_text import perplexity
        from tunewright.job.measure.evaluation import evaluated, time_alone
        from tunewright.job.measure.rows.answers import TextAnswers
        from tunewright.job.measure.written import rouge
        from tunewright.serving.engines.text_to_text import TextToTextEngine

        truths = [str(target) for target in part.data.targets()]
        answers = [one for texts, _ in part.data.batches() for one in predictor.predict(texts)]
        written = [str(one[self.answer]) for one in answers]
        figures = self.compare(written, truths)
        near = rouge(written, truths, ["rougeL"])[:, 0].astype(np.float32)
        measured = evaluated(
            figures.measure,
            len(part),
            headline=self.metrics[0],
            ms_per_text=time_alone(predictor, part.data, plan.prepared.task.columns.served),
            answers=TextAnswers([[text] for text in truths], written, near, "ROUGE-L", list(range(len(part)))),
        )
        found = perplexity(cast(TextToTextEngine, predictor.engine), part, plan)
        more = more_figures(plan.prepared.more_metrics, "text_to_text", truths, written)
        return replace(measured, metrics={**measured.metrics, **figures.of_all, "perplexity": found, **more})


def text_to_text_learner() -> Learner:
    """Models that write a text for a text."""
    from tunewright.job.learners.text_to_text import TEXT_TO_TEXT_LEARNER

    return TEXT_TO_TEXT_LEARNER


def only_perplexity(settings: JobSettings) -> list[str]:
    """What a model that writes is measured by takes too long for each epoch."""
    metric = settings.train.metric
    if metric in (None, "perplexity"):
        return []
    return [
        f"train.metric is {metric!r}, which is measured once, on the exported files; after each epoch the perplexity "
        "is known: remove it"
    ]
