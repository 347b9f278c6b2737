"""Extractive question answering, taught: the passage of a context that answers a question, or that there is none."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from tunewright.job.data.cells import Cells, whole
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.kinds.options import AnswerOptions
from tunewright.job.kinds.passages import Passages
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Columns, Learner, Target, Task
from tunewright.job.kinds.texts import TEXT_SETTINGS
from tunewright.job.measure.metric import figures
from tunewright.job.progress.events import say
from tunewright.serving.bundle.model_file import ModelFile

if TYPE_CHECKING:
    from tunewright.job.measure.evaluation import Evaluation
    from tunewright.job.train.objective import Objective
    from tunewright.serving.predictor import Predictor


class Questions(Columns[Sequence[str]]):
    """Questions with contexts."""

    subject = "a question"
    media = ""
    uses = TEXT_SETTINGS

    def forms(self, targets: Sequence[str]) -> tuple[Form, ...]:
        """There is one."""
        return tuple(Form(("question", "context"), target=target) for target in targets)

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """Question and context."""
        return pa.list_(pa.large_string())

    def read(self, cells: Cells) -> tuple[str, str] | None:
        """A question, and a context as it stands: answers are places in it."""
        question, context = _plain_text(cells, "question"), _plain_text(cells, "context")
        return None if question is None or context is None else (question, context)

    def identity(self, value: Sequence[str]) -> str:
        """Questions about one context stay on one side."""
        return str(value[1]).casefold()

    def request(self, value: Sequence[str]) -> dict[str, str]:
        """As a caller sends it."""
        return {"question": value[0], "context": value[1]}


class Answers(Target[tuple[str, str], Passages]):
    """Passages of the context, or none."""

    roles = ("answers",)
    uses = frozenset({"train.label_smoothing"})

    def problem(self, role: str, options: Options) -> str:
        """A passage of the context."""
        return "extractive"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """As SQuAD: F1 of the words in common, and exact match."""
        return ("f1", "exact_match")

    def purpose(self, model: ModelFile, subject: str) -> str:
        """A passage."""
        return f"Finds the passage of a text that answers {subject}"

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """The texts of the answers and where each begins."""
        return pa.struct([("text", pa.list_(pa.string())), ("start", pa.list_(pa.int64()))])

    def read(self, cells: Cells, value: tuple[str, str] | None) -> Passages | None:
        """Answers that are passages of the context."""
        answers = cells.target(lambda found, role, settings: _answers(found))
        if value is None or answers is None:
            return None
        options, context = cast(AnswerOptions, cells.options), value[1]
        places = []
        for text, start in answers:
            place = _place(text, start, context)
            if place is None and options.drop_wrong:
                cells.note("an answer does not stand in the context, left out")
                cells.leave_out("whose answer does not stand in the context")
            elif place is None:
                hint = "correct it, or set options.drop_wrong to true"
                cells.fault(f"column {cells.column('answers')!r}: an answer is not in its context", hint, value=text)
            else:
                if place != start:
                    cells.note("an answer stands elsewhere than answer_start says, the nearest place is taken")
                places.append(place)
        return Passages(text=[text for text, _ in answers], start=places)

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say how many questions have no answer."""
        targets = sides["train"].data.targets()
        without = sum(not target["text"] for target in targets)
        say("split", f"{len(targets) - without:,} training questions with an answer, {without:,} without")

    def objective(self, plan: Plan) -> "Objective":
        """Cross-entropy of both ends of the answer."""
        from tunewright.job.learners import spans

        return spans.objective(plan.settings.train)

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """No answer to any question."""
        names = plan.prepared.metric_names
        return figures(names, "extractive", _truths(part), [""] * len(part))

    def evaluate(self, predictor: "Predictor", part: Part, plan: Plan) -> "Evaluation":
        """Answers as the server gives them, against all that are right."""
        from tunewright.job.measure.evaluation import evaluated, time_alone
        from tunewright.job.measure.rows.answers import TextAnswers
        from tunewright.job.measure.squad import f1

        answers = [one["answer"] for pairs, _ in part.data.batches() for one in predictor.predict(pairs)]
        truths, names = _truths(part), plan.prepared.metric_names
        near = np.array([f1(answer, truth) for answer, truth in zip(answers, truths, strict=True)], dtype=np.float32)
        return evaluated(
            lambda rows: figures(names, "extractive", [truths[row] for row in rows], [answers[row] for row in rows]),
            len(part),
            headline="f1",
            ms_per_text=time_alone(predictor, part.data, plan.prepared.task.columns.served),
            answers=TextAnswers(truths, answers, near, "F1", list(range(len(part)))),
        )


def _learner() -> Learner:
    from tunewright.job.learners.spans import SPAN_LEARNER

    return SPAN_LEARNER


QUESTION_ANSWERING = Task(
    about="Questions with contexts to passages.",
    columns=Questions(),
    target=Answers(),
    learner=_learner,
    options=AnswerOptions,
    uses=frozenset({"train.max_length", "train.max_tokens", "adapt"}),
)


def _truths(part: Part) -> list[list[str]]:
    """All right answers to each question; the empty one where there is none."""
    return [target["text"] or [""] for target in part.data.targets()]


def _plain_text(cells: Cells, role: str) -> str | None:
    """A text as it stands; None where a fault was counted."""
    if cells.text(role) is None:
        return None
    return str(cells.value(role))


def _answers(value: object) -> list[tuple[str, int]]:
    """Texts and places of the answers, from the forms there are of them; none for an unanswerable question."""
    if isinstance(value, str):
        try:
            value = whole(json.loads(value))
        except ValueError:
            raise ValueError('is not JSON such as {"text": ["..."], "answer_start": [0]}') from None
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        starts = value.get("answer_start")
        pairs = list(zip(value["text"], starts if isinstance(starts, list) else [], strict=False))
        if len(pairs) < len(value["text"]):
            raise ValueError("has fewer values in answer_start than in text")
    elif isinstance(value, list) and all(isinstance(one, dict) for one in value):
        pairs = [(one.get("text"), one.get("answer_start")) for one in value]
    else:
        raise ValueError('is not {"text": [...], "answer_start": [...]}, nor a list of {"text", "answer_start"}')
    for text, start in pairs:
        if not isinstance(text, str) or not text.strip() or not isinstance(start, int) or isinstance(start, bool):
            raise ValueError("has an answer without a text and a whole number answer_start")
    return list(dict.fromkeys(pairs))


def _place(text: str, start: int, context: str) -> int | None:
    """Where the answer stands: as said, else the nearest place; None where it is not in the context."""
    if start >= 0 and context.startswith(text, start):
        return start
    places = [place for place in range(len(context)) if context.startswith(text, place)]
    return min(places, key=lambda place: abs(place - start), default=None)
