"""Models that give a tag to each word.

Loss: cross-entropy at the first token of each word. A sentence longer than a row is read in overlapping windows.
Axes: B windows of a batch, T tokens, L tags.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForTokenClassification

from tunewright.job.batches.side import Array
from tunewright.job.batches.text import NO_LABEL, SplitWriter, TokenRows
from tunewright.job.export.graph import ARCHITECTURES
from tunewright.job.kinds.options import TagOptions
from tunewright.job.kinds.plan import Plan
from tunewright.job.kinds.task import Inputs, Learner
from tunewright.job.learners.heads import Headed
from tunewright.job.learners.texts import TOKENIZER, described, open_encoder, tensors, tensors_of, torch_rows
from tunewright.job.measure.metric import figures
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.settings.job import JobSettings
from tunewright.job.train.loss import loss_of
from tunewright.job.train.losses import label_weight
from tunewright.job.train.objective import Objective, Scored
from tunewright.job.train.regularised import apart_of
from tunewright.serving.text.encoding import Encoded, Encoder
from tunewright.serving.text.windows import Cut, Windowed, Windower

_EXPORT_TASK = "token-classification"
_STRANGER = "B-?"
"""Any tag that no training row has, where such tags count as wrong."""


class SentenceInputs(Inputs):
    """Sentences of words as windows of token ids."""

    needs = TOKENIZER

    def open_encoder(self, settings: JobSettings, base: BaseCheckpoint) -> Encoder:
        """The tokenizer with its limits."""
        return open_encoder(settings, base)

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> TokenRows:
        """Windows of token ids, the tag of a word at its first token."""
        number = {label: index for index, label in enumerate(plan.prepared.labels)}
        cutter, cut = windower(plan)
        writer = SplitWriter(folder)
        for sentences, targets in plan.prepared.part(side).data.batches():
            for words, tags in zip(sentences, targets, strict=True):
                numbers = [number.get(tag, len(number)) for tag in tags]
                for row, labels in labelled(cutter.words(words, cut), numbers):
                    writer.add(row, labels)
            on_rows(len(sentences))
        return TokenRows(writer.close(), plan.opened(Encoder), tensors(plan, _EXPORT_TASK))

    def described(self, plan: Plan) -> dict[str, object]:
        """The scheme besides what every text model has."""
        scheme = cast(TagOptions, plan.prepared.options).scheme
        return {**described(plan.opened(Encoder)), "options": {"scheme": scheme}}

    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Sequence[str]]) -> list[Array]:
        """Logits of all windows of each sentence."""
        cutter, cut = windower(plan)
        names, outputs = tensors_of(model, plan, _EXPORT_TASK), []
        for words in inputs:
            rows = [window.row for window in cutter.words(words, cut).windows]
            outputs.append(np.concatenate(torch_rows(model, plan, rows, names)))
        return outputs


TAG_LEARNER = Learner(SentenceInputs(), Headed(AutoModelForTokenClassification, _EXPORT_TASK, tuple(ARCHITECTURES)))


def objective(plan: Plan) -> Objective:
    """Cross-entropy over the words; figures over the words of the validation windows."""
    prepared, settings = plan.prepared, plan.settings.train
    numbers = np.zeros(0, dtype=np.int64)
    if isinstance(settings.class_weights, str) or settings.logit_adjustment:
        place = {label: index for index, label in enumerate(prepared.labels)}
        numbers = np.array([place[tag] for tags in prepared.train.data.targets() for tag in tags])
    by_word = loss_of(settings, prepared.problem, prepared.labels, numbers)
    weight = label_weight(settings, prepared.labels, numbers, "single_label")

    def loss(logits_BTL: torch.Tensor, targets_BT: torch.Tensor) -> torch.Tensor:
        words = targets_BT != NO_LABEL
        return by_word(logits_BTL[words], targets_BT[words])

    return Objective(
        loss=loss,
        weight=lambda targets_BT: weight(targets_BT[targets_BT != NO_LABEL]),
        measure=lambda scored: figures(prepared.metric_names, prepared.problem, *_sequences(scored, prepared.labels)),
        metric=settings.metric or prepared.task.headline(prepared.problem),
        apart=apart_of(prepared.problem),
        gauged=True,
    )


def windower(plan: Plan) -> tuple[Windower, Cut]:
    """What cuts sentences into rows, and how."""
    length = plan.opened(Encoder).max_length
    return Windower(plan.base.tokenizer, plan.opened(Encoder).cleaning), Cut(length, None, length // 4)


def labelled(sentence: Windowed, numbers: Sequence[int]) -> Iterator[tuple[Encoded, list[int]]]:
    """The rows of a sentence, each with a label at the first token of every word in it."""
    seen: set[int | None] = set()
    labels = []
    for token in sentence.tokens:
        labels.append(NO_LABEL if token.word is None or token.word in seen else numbers[token.word])
        seen.add(token.word)
    for window in sentence.windows:
        row = [NO_LABEL] * len(window.row)
        row[sentence.lead : sentence.lead + window.end - window.first] = labels[window.first : window.end]
        yield window.row, row


def _sequences(scored: Scored, labels: Sequence[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Tags and predicted tags of the words of each window."""
    truth, found = [], []
    names = [*labels, _STRANGER]
    for _, batch, logits in scored:
        for target, best in zip(batch["targets"].cpu().numpy(), logits.argmax(-1).cpu().numpy(), strict=True):
            words = target != NO_LABEL
            truth.append([names[number] for number in target[words]])
            found.append([labels[number] for number in best[words]])
    return truth, found
