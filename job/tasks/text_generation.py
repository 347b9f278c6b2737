"""Text generation, taught: plain texts, prompts with responses, or chats; causal models."""

import json
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from tunewright.job.data.cells import Cells, whole
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.kinds.options import WritingOptions
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Columns, Learner, Target, Task
from tunewright.job.kinds.texts import TEXT_SETTINGS, kept_breaks
from tunewright.job.learners.written_text import only_perplexity
from tunewright.job.settings.job import JobSettings
from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.tasks.text_generation import message_fault
from tunewright.serving.text.cleaning import clean

if TYPE_CHECKING:
    from tunewright.job.measure.evaluation import Evaluation
    from tunewright.job.train.objective import Objective
    from tunewright.serving.predictor import Predictor

_BEGINNING = 200
"""Characters of a text that stand for it where one prompt is wanted."""


class Prompts(Columns[str | Sequence[dict[str, str]]]):
    """Texts, prompts or conversations."""

    subject = "a text"
    media = ""
    uses = TEXT_SETTINGS

    def forms(self, targets: Sequence[str]) -> tuple[Form, ...]:
        """A text, a prompt with a response, or messages."""
        return (Form(("text",)), Form(("prompt",), target="response"), Form(("messages",)))

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """A text, or messages."""
        message = pa.struct([("role", pa.string()), ("content", pa.large_string())])
        return pa.list_(message) if "messages" in roles.inputs else pa.large_string()

    def read(self, cells: Cells) -> str | list[dict[str, str]] | None:
        """A text that is not empty, or a conversation with an answer."""
        if "messages" in cells.roles.inputs:
            return _conversation(cells)
        return _written(cells, next(iter(cells.roles.inputs)))

    def served(self, value: str | Sequence[dict[str, str]]) -> str | tuple[dict[str, str], ...]:
        """The beginning of a text, a prompt, or a conversation up to the assistant's last turn."""
        if isinstance(value, str):
            return value[:_BEGINNING]
        last = max(place for place, message in enumerate(value) if message["role"] == "assistant")
        return tuple(value[:last])

    def request(self, value: str | Sequence[dict[str, str]]) -> str | list[dict[str, str]]:
        """A text, or messages."""
        asked = self.served(value)
        return asked if isinstance(asked, str) else [dict(message) for message in asked]


class WhatFollows(Target[object, str]):
    """What comes next: the response of a prompt; the text or the conversation itself where there is none."""

    roles = ("", "response")
    uses = frozenset({"train.label_smoothing"})

    def problem(self, role: str, options: Options) -> str:
        """There is one; which columns were learned from says the form."""
        return "text_generation"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Perplexity (between how many tokens the model hesitates); ROUGE-L, from 0 to 1, where rows have an answer."""
        return ("perplexity", "rougeL")

    def purpose(self, model: ModelFile, subject: str) -> str:
        """A writer."""
        return "Goes on with a conversation" if model.options.get("chat") else f"Goes on with {subject}"

    def arrow_type(self, roles: Roles) -> pa.DataType:
        """A response, or nothing."""
        return pa.large_string() if roles.target else pa.null()

    def read(self, cells: Cells, value: object) -> str | None:
        """The response, which is not empty."""
        return _written(cells, cells.roles.target_role) if cells.roles.target_role else None

    def contradictions(self, settings: JobSettings, roles: Roles, options: Options) -> list[str]:
        """Figures that are not measured."""
        found = only_perplexity(settings)
        if "text" in roles.inputs and "rougeL" in settings.gate.min:
            found.append("gate.min names 'rougeL', which plain texts do not have: they hold no answers")
        return found

    def objective(self, plan: Plan) -> "Objective":
        """Cross-entropy of the next token."""
        from tunewright.job.learners import causal

        return causal.objective(plan)

    def evaluate(self, predictor: "Predictor", part: Part, plan: Plan) -> "Evaluation":
        """Perplexity by the exported graph, and ROUGE-L of answers as the server writes them."""
        from tunewright.job.learners import causal
        from tunewright.job.measure.evaluation import evaluated, time_alone
        from tunewright.job.train.next_token import perplexity
        from tunewright.serving.tasks.text_generation import ContinuationEngine

        losses = causal.losses(cast(ContinuationEngine, predictor.engine), part, plan)
        measured = evaluated(
            lambda rows: {"perplexity": perplexity(*losses[rows].sum(axis=0).tolist())},
            len(part),
            headline="perplexity",
            ms_per_text=time_alone(predictor, causal.answerable(part, plan), plan.prepared.task.columns.served),
        )
        if causal.is_plain(plan):
            return measured
        written = causal.written_answers(predictor, part, plan)
        metrics = {**measured.metrics, "rougeL": fmean(written.scores.tolist())}
        return replace(measured, metrics=metrics, answers=written)

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """Each token as often as in the training rows."""
        from tunewright.job.learners import causal

        return causal.baseline(part, plan)


def _learner() -> Learner:
    from tunewright.job.learners.causal import CAUSAL_LEARNER

    return CAUSAL_LEARNER


TEXT_GENERATION = Task(
    about="A text, a prompt or a conversation to what comes next.",
    columns=Prompts(),
    target=WhatFollows(),
    learner=_learner,
    options=WritingOptions,
    uses=frozenset({"train.max_length", "train.max_tokens"}),
)


def _conversation(cells: Cells) -> list[dict[str, str]] | None:
    """Messages with something to answer and an answer; None where a fault was counted."""
    if not cells.has("messages"):
        return None
    value, column = cells.value("messages"), f"column {cells.column('messages')!r}"
    if not value:
        cells.empty("messages")
        return None
    if isinstance(value, str):
        try:
            value = whole(json.loads(value))
        except ValueError:
            cells.fault(f"{column} is a text that is not JSON", "give a list of messages", value=value)
            return None
    # A table writes null for each key that some other message has.
    messages = [
        {key: part for key, part in message.items() if part is not None} if isinstance(message, dict) else message
        for message in (value if isinstance(value, list) else [])
    ]
    fault = message_fault(messages)
    if fault:
        hint = 'each message is {"role": ..., "content": ...}; roles are system, user and assistant'
        cells.fault(f"{column} {fault}", hint, value=value)
        return None
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        cells.fault(f"{column} holds no turn of the assistant", "there is nothing to learn; remove the row")
    elif len(roles) - 1 - roles[::-1].index("assistant") == 0:
        cells.fault(f"{column} holds no message before the assistant's", "begin with what is asked")
    return messages


def _written(cells: Cells, role: str) -> str | None:
    """A text whose line breaks stay; None where a fault was counted or the row is dropped."""
    if cells.text(role) is None:
        return None
    return clean(str(cells.value(role)), kept_breaks(cells.settings.cleaning))
