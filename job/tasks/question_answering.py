"""Extractive question answering, taught: the passage of a context that answers a question, or that there is none.

Loss: cross-entropy of the first and of the last token of the answer; a window without it points at its first token,
as an unanswerable question does. A long context is read in overlapping windows behind the whole question.
Axes: B windows of a batch, T tokens.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import nn
from transformers import AutoModelForQuestionAnswering

from tunewright.job.batches.side import Array, Batch
from tunewright.job.batches.text import SplitWriter, TextRows, percentiles
from tunewright.job.data.check import Cells, whole
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.errors import SettingsError
from tunewright.job.export.graph import ARCHITECTURES
from tunewright.job.kinds.task import Part, Plan
from tunewright.job.kinds.text import TextTask
from tunewright.job.measure.evaluation import Evaluation, evaluated, time_alone
from tunewright.job.measure.squad import exact_match, f1
from tunewright.job.model.build import build_headed
from tunewright.job.progress import say
from tunewright.job.train.objective import Objective, Scored
from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.predictor import Predictor
from tunewright.serving.tasks.question_answering import usual_cut
from tunewright.serving.text.encoding import load_tokenizer
from tunewright.serving.text.windows import Windowed, Windower

_PADDING = -1e4
"""The logit of a token that is padding: as good as impossible, and still a finite number."""
_SAMPLE = 2000
"""Training answers whose length is looked at."""


class AnswerOptions(Options):
    """`options:` of question-answering."""

    drop_wrong: bool = False
    """Leave out rows whose answer does not stand in the context, instead of refusing the data."""


class QuestionAnswering(TextTask):
    """Questions with contexts to passages."""

    FORMS = (Form(("question", "context"), target="answers"),)
    OPTIONS = AnswerOptions
    EXPORT_TASK = "question-answering"

    def problem(self, target_role: str, options: Any) -> str:
        """A passage of the context."""
        return "extractive"

    def headline(self, problem: str) -> str:
        """F1 of the words in common."""
        return "f1"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """As SQuAD: F1 and exact match."""
        return ("f1", "exact_match")

    def purpose(self, model: ModelFile) -> str:
        """A passage."""
        return "Finds the passage of a text that answers a question"

    # Data

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """Question and context; the texts of the answers and where each begins."""
        answers = pa.struct([("text", pa.list_(pa.string())), ("start", pa.list_(pa.int64()))])
        return pa.list_(pa.large_string()), answers

    def read(self, cells: Cells) -> tuple[Any, Any] | None:
        """A question, a context as it stands (answers are places in it), and answers that are passages of it."""
        question, context = _plain_text(cells, "question"), _plain_text(cells, "context")
        answers = cells.target(lambda value, role, settings: _answers(value))
        if question is None or context is None or answers is None:
            return None
        options: AnswerOptions = cells.options  # type: ignore[assignment]
        places = []
        for text, start in answers:
            place = _place(text, start, context)
            if place is None and options.drop_wrong:
                cells.note("an answer does not stand in the context, left out")
                cells.leave_out("whose answer does not stand in the context")
            elif place is None:
                hint = "correct it, or set options.drop_wrong to true"
                cells.fault(f"column {cells.column('answers')!r}: an answer is not in its context", hint, value=text)
            elif place != start:
                cells.note("an answer stands elsewhere than answer_start says, the nearest place is taken")
            places.append(place)
        return (question, context), {"text": [text for text, _ in answers], "start": places}

    def identity(self, value: Any) -> str:
        """Questions about one context stay on one side."""
        return str(value[1]).casefold()

    def request(self, value: Any) -> Any:
        """As a caller sends it."""
        return {"question": value[0], "context": value[1]}

    def check_sides(self, sides: Mapping[str, Part], labels: list[str], problem: str) -> None:
        """Say how many questions have no answer."""
        targets = sides["train"].data.targets()
        without = sum(not target["text"] for target in targets)
        say("split", f"{len(targets) - without:,} training questions with an answer, {without:,} without")

    # Learning

    def architectures(self) -> list[str]:
        """Encoders, but for one that the exporter does not know with this head."""
        return [kind for kind in ARCHITECTURES if kind != "modernbert"]

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> TextRows:
        """Windows of token ids, each with the first and the last token of the answer."""
        windower, cut = Windower(plan.base.tokenizer, plan.encoder.cleaning), usual_cut(plan.encoder.max_length)
        part: Part = getattr(plan.prepared, side)
        writer, spans = SplitWriter(folder), []
        for pairs, targets in part.data.batches():
            for (question, context), target in zip(pairs, targets, strict=True):
                row = windower.pair(question, context, cut)
                for window, span in zip(row.windows, _spans(row, target), strict=True):
                    writer.add(window.row)
                    spans.append(span)
            on_rows(len(pairs))
        split = writer.close(np.array(spans, dtype=np.int64).reshape(-1, 2))
        return TextRows(split, plan.encoder, self.graph_inputs(plan))

    def build_model(self, plan: Plan) -> nn.Module:
        """The base with a new head of two numbers at each token."""
        return build_headed(AutoModelForQuestionAnswering, plan.base, ["start", "end"], plan.settings.train)

    def objective(self, plan: Plan) -> Objective:
        """Cross-entropy over the tokens of a row; figures of the spans in the validation windows."""
        settings = plan.settings.train
        for name in ("class_weights", "focal_gamma", "huber_delta"):
            if getattr(settings, name):
                raise SettingsError(f"train.{name} has no meaning for question-answering; remove it")

        def loss(logits_BT2: torch.Tensor, targets_B2: torch.Tensor) -> torch.Tensor:
            ends = zip(logits_BT2.unbind(-1), targets_B2.unbind(-1), strict=True)
            smoothing = settings.label_smoothing
            both = [_cross_entropy(logits_BT, target_B, smoothing) for logits_BT, target_B in ends]
            return (both[0] + both[1]) / 2

        return Objective(loss=loss, measure=_window_figures, metric=settings.metric or "f1", forward=_both_ends)

    # Release

    def model_file(self, plan: Plan, variants: dict[str, Variant]) -> ModelFile:
        """Whether "no answer" is an answer, and how long answers are."""
        targets = plan.prepared.train.data.targets()
        described = super().model_file(plan, variants)
        options = {
            "handle_impossible_answer": any(not target["text"] for target in targets),
            "max_answer_len": _longest(targets, plan),
        }
        return described.model_copy(update={"options": options, "pair": False})

    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Any]) -> list[Array]:
        """Start and end logits of all windows of each context."""
        windower, cut = Windower(plan.base.tokenizer, plan.encoder.cleaning), usual_cut(plan.encoder.max_length)
        cut_inputs = [windower.pair(question, context, cut) for question, context in inputs]
        rows = [[window.row for window in one.windows] for one in cut_inputs]
        return [np.concatenate(self.torch_rows(model, plan, windows)) for windows in rows]

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """No answer to any question."""
        return _figures(_scores([""] * len(part), part))

    def evaluate(self, predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
        """Answers as the server gives them, against all that are right."""
        answers = [one["answer"] for pairs, _ in part.data.batches() for one in predictor.predict(pairs)]
        scores_N2 = _scores(answers, part)
        return evaluated(
            lambda rows: _figures(scores_N2[rows]),
            len(part),
            headline="f1",
            ms_per_text=time_alone(predictor, part.data, self.served),
        )


def _scores(answers: Sequence[str], part: Part) -> NDArray[np.float64]:
    """F1 and exact match of each answer against all that are right, `[N, 2]`."""
    truths = [target["text"] or [""] for target in part.data.targets()]
    return np.array([[f1(a, t), exact_match(a, t)] for a, t in zip(answers, truths, strict=True)])


def _figures(scores_N2: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(("f1", "exact_match"), scores_N2.mean(axis=0).tolist(), strict=True))


def _plain_text(cells: Cells, role: str) -> str | None:
    """A text as it stands; None where a fault was counted."""
    if cells.text(role) is None:
        return None
    return str(cells.value(role))


def _answers(value: Any) -> list[tuple[str, int]]:
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


def _spans(row: Windowed, target: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The first and the last token of the first answer in each window; 0, 0 where the window does not hold it all."""
    if not target["text"]:
        return [(0, 0)] * len(row.windows)
    start, end = target["start"][0], target["start"][0] + len(target["text"][0])
    inside = [index for index, token in enumerate(row.tokens) if token.end > start and token.start < end]
    spans = []
    for window in row.windows:
        holds = bool(inside) and window.first <= inside[0] and inside[-1] < window.end
        shift = row.lead - window.first
        spans.append((inside[0] + shift, inside[-1] + shift) if holds else (0, 0))
    return spans


def _both_ends(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Logits `[B, T, 2]`; no answer begins or ends in the padding, however much of it a row has beside longer ones."""
    answered = model(**batch)
    logits_BT2 = torch.stack([answered["start_logits"], answered["end_logits"]], dim=-1)
    return logits_BT2.masked_fill(batch["attention_mask"][..., None] == 0, _PADDING)


def _cross_entropy(logits_BT: torch.Tensor, targets_B: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropy over the tokens of each row, of which the padding is none; smoothed over the others."""
    if not smoothing:
        return functional.cross_entropy(logits_BT, targets_B)
    scores_BT = logits_BT.log_softmax(-1)
    is_token_BT = logits_BT > _PADDING / 2
    even_B = scores_BT.masked_fill(~is_token_BT, 0.0).sum(-1) / is_token_BT.sum(-1)
    right_B = scores_BT.gather(-1, targets_B[:, None]).squeeze(-1)
    return -((1 - smoothing) * right_B + smoothing * even_B).mean()


def _window_figures(scored: Scored) -> dict[str, float]:
    """F1 of the tokens and exact match of the most probable span of each window."""
    found: list[tuple[float, float]] = []
    for _, batch, logits in scored:
        best = logits.argmax(dim=1).cpu().numpy()
        for (start, end), (first, last) in zip(best, batch["targets"].cpu().numpy(), strict=True):
            common = max(0, min(end, last) - max(start, first) + 1)
            lengths = max(0, end - start + 1) + last - first + 1
            found.append((2 * common / lengths, float((start, end) == (first, last))))
    return dict(zip(("f1", "exact_match"), np.mean(found, axis=0).tolist(), strict=True))


def _longest(targets: Sequence[Mapping[str, Any]], plan: Plan) -> int:
    """Tokens of all but the longest hundredth of the training answers, and some room."""
    texts = [text for target in targets[:_SAMPLE] for text in target["text"][:1]]
    if not texts:
        return 15
    tokenizer = load_tokenizer(plan.base.tokenizer)
    lengths = [len(one.ids) for one in tokenizer.encode_batch(texts, add_special_tokens=False)]
    (most,) = percentiles(np.array(lengths), [99])
    return max(15, most + most // 4)
