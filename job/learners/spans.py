"""Models that find a passage: the first and the last token of the answer.

Loss: cross-entropy of the first and of the last token of the answer; a window without it points at its first token,
as an unanswerable question does. A long context is read in overlapping windows behind the whole question.
Axes: B windows of a batch, T tokens.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import nn
from transformers import AutoModelForQuestionAnswering

from tunewright.job.batches.side import Array, Batch
from tunewright.job.batches.text import SplitWriter, TextRows, percentiles
from tunewright.job.export.given import GivenGraph
from tunewright.job.export.graph import ARCHITECTURES
from tunewright.job.kinds.passages import Passages
from tunewright.job.kinds.plan import Plan
from tunewright.job.kinds.task import Inputs, Learner
from tunewright.job.learners.heads import Headed
from tunewright.job.learners.texts import TOKENIZER, described, open_encoder, tensors, tensors_of, torch_rows
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.objective import Objective, Scored, forward
from tunewright.serving.tasks.question_answering import usual_cut
from tunewright.serving.text.encoding import Encoder, load_tokenizer
from tunewright.serving.text.windows import Cut, Windowed, Windower

_EXPORT_TASK = "question-answering"
_PADDING = -1e4
"""The logit of a token that is padding: as good as impossible, and still a finite number."""
_SAMPLE = 2000
"""Training answers whose length is looked at."""


class PassageInputs(Inputs):
    """Questions and contexts as windows of token ids."""

    needs = TOKENIZER

    def open_encoder(self, settings: JobSettings, base: BaseCheckpoint) -> Encoder:
        """The tokenizer with its limits."""
        return open_encoder(settings, base)

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> TextRows:
        """Windows of token ids, each with the first and the last token of the answer."""
        windower, cut = _windower(plan)
        writer, spans = SplitWriter(folder), []
        for pairs, targets in plan.prepared.part(side).data.batches():
            for (question, context), target in zip(pairs, targets, strict=True):
                row = windower.pair(question, context, cut)
                for window, span in zip(row.windows, _spans(row, target), strict=True):
                    writer.add(window.row)
                    spans.append(span)
            on_rows(len(pairs))
        split = writer.close(np.array(spans, dtype=np.int64).reshape(-1, 2))
        return TextRows(split, plan.opened(Encoder), tensors(plan, _EXPORT_TASK))

    def described(self, plan: Plan) -> dict[str, object]:
        """Whether "no answer" is an answer, and how long answers are."""
        targets = plan.prepared.train.data.targets()
        options = {
            "handle_impossible_answer": any(not target["text"] for target in targets),
            "max_answer_len": _longest(targets, plan),
        }
        return {**described(plan.opened(Encoder)), "options": options}

    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[tuple[str, str]]) -> list[Array]:
        """Start and end logits of all windows of each context."""
        windower, cut = _windower(plan)
        names, outputs = tensors_of(model, plan, _EXPORT_TASK), []
        through = forward if isinstance(model, GivenGraph) else _both_ends
        for question, context in inputs:
            rows = [window.row for window in windower.pair(question, context, cut).windows]
            outputs.append(np.concatenate(torch_rows(model, plan, rows, names, through)))
        return outputs


# transformers has no such head of the others.
_ENCODERS = tuple(kind for kind in ARCHITECTURES if kind not in ("eurobert", "nomic_bert"))
SPAN_LEARNER = Learner(
    PassageInputs(), Headed(AutoModelForQuestionAnswering, _EXPORT_TASK, _ENCODERS, labels=("start", "end"))
)


def objective(settings: TrainSettings) -> Objective:
    """Cross-entropy over the tokens of a row; figures of the spans in the validation windows."""

    def loss(logits_BT2: torch.Tensor, targets_B2: torch.Tensor) -> torch.Tensor:
        ends = zip(logits_BT2.unbind(-1), targets_B2.unbind(-1), strict=True)
        smoothing = settings.label_smoothing
        both = [_cross_entropy(logits_BT, target_B, smoothing) for logits_BT, target_B in ends]
        return (both[0] + both[1]) / 2

    return Objective(loss=loss, measure=_window_figures, metric=settings.metric or "f1", forward=_both_ends)


def _windower(plan: Plan) -> tuple[Windower, Cut]:
    return Windower(plan.base.tokenizer, plan.opened(Encoder).cleaning), usual_cut(plan.opened(Encoder).max_length)


def _spans(row: Windowed, target: Passages) -> list[tuple[int, int]]:
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


def _longest(targets: Sequence[Passages], plan: Plan) -> int:
    """Tokens of all but the longest hundredth of the training answers, and some room."""
    texts = [text for target in targets[:_SAMPLE] for text in target["text"][:1]]
    if not texts:
        return 15
    tokenizer = load_tokenizer(plan.base.tokenizer)
    lengths = [len(one.ids) for one in tokenizer.encode_batch(texts, add_special_tokens=False)]
    (most,) = percentiles(np.array(lengths), [99])
    return max(15, most + most // 4)
