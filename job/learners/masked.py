"""Encoders that find hidden words.

Loss: cross-entropy over the vocabulary at the masked tokens.
Axes: B rows of a batch, T tokens of a row, M masked tokens of a batch, V tokens of the vocabulary.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import nn

from tunewright.job.batches.masked import Cutter, Hidden, MaskedRows, Masking, drawing
from tunewright.job.batches.side import Array
from tunewright.job.batches.text import SplitWriter
from tunewright.job.data.dataset import Dataset, strings
from tunewright.job.errors import BaseModelError, DataError
from tunewright.job.export.graph import ARCHITECTURES, export_variants
from tunewright.job.kinds.options import MaskingOptions
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Graph, Inputs, Learner
from tunewright.job.learners.texts import TOKENIZER, described, open_encoder, tensors, torch_rows
from tunewright.job.measure.evaluation import Evaluation, evaluated, time_alone
from tunewright.job.measure.masked import figures, found, of_totals
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.build import build_masked
from tunewright.job.model.load import load_config
from tunewright.job.model.tokenizer import cleans_up, mask_token
from tunewright.job.progress.events import say, warn
from tunewright.job.settings.job import JobSettings
from tunewright.job.train.next_token import learned_logits, unigram_perplexity
from tunewright.job.train.objective import Objective
from tunewright.serving.bundle.model_file import Variant
from tunewright.serving.predictor import Predictor
from tunewright.serving.tasks.masked_language_modelling import MaskEngine, own_and_best
from tunewright.serving.text.encoding import Encoder, Text, load_tokenizer

_EXPORT_TASK = "fill-mask"


class MaskedInputs(Inputs):
    """Texts as token ids, some of which are hidden."""

    needs = TOKENIZER

    def open_encoder(self, settings: JobSettings, base: BaseCheckpoint) -> Encoder:
        """The tokenizer with its limits; BaseModelError for one without a mask."""
        if mask_token(base.folder) is None:
            raise BaseModelError(
                f"base model {base.address!r} has no mask token, so it cannot learn to find masked words; choose an "
                "encoder that was pretrained to do that, such as a BERT"
            )
        return open_encoder(settings, base)

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> MaskedRows:
        """Token ids and the word of each token, kept on disk; which words are hidden is drawn for each batch."""
        part = plan.prepared.part(side)
        cutter, writer = _cutter(plan), SplitWriter(folder)
        if _options(plan).pack:
            for row, words in cutter.packed(_texts(part.data, on_rows)):
                writer.add(row, words.tolist())
        else:
            _write_apart(cutter, _texts(part.data, on_rows), writer, side)
        split = writer.close()
        if len(part) and not len(split):
            raise DataError(f"no {side} text has two tokens that the tokenizer knows; there is nothing to mask")
        names, seed = tensors(plan, _EXPORT_TASK), plan.settings.train.seed
        return MaskedRows(split, _masking(plan, cutter), plan.opened(Encoder), names, seed)

    def described(self, plan: Plan) -> dict[str, object]:
        """The mask besides what every text model has."""
        options = {"mask_token": mask_token(plan.base.folder), "clean_up": cleans_up(plan.base.folder)}
        pair = len(plan.prepared.roles.inputs) == 2
        return {**described(plan.opened(Encoder)), "pair": pair, "options": options}

    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Text]) -> list[Array]:
        """For each token of a text its own logit and the largest one, `[T, 2]`: all of them would fill the memory."""
        names = tensors(plan, _EXPORT_TASK)
        rows = plan.opened(Encoder).encode(inputs)
        return [own_and_best(torch_rows(model, plan, [row], names)[0], row.ids) for row in rows]


class MaskedGraph(Graph):
    """An encoder with its head over the vocabulary."""

    architectures = tuple(ARCHITECTURES)

    def build(self, plan: Plan) -> nn.Module:
        """The base with its own head, or with a new one."""
        model, is_new = build_masked(plan.base, plan.settings.train)
        if is_new:
            say("model", "the base model brings no head that finds masked words: a new one is made and learns too")
        return model

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph a variant."""
        return export_variants(model, _EXPORT_TASK, folder, variants)


MASKED_LEARNER = Learner(MaskedInputs(), MaskedGraph())


def objective(plan: Plan) -> Objective:
    """Cross-entropy at the masked tokens; perplexity decides."""
    metric = plan.settings.train.metric or "perplexity"
    return Objective(functional.cross_entropy, figures, metric, forward=learned_logits)


def evaluate(predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
    """Each text in rows of its own, masked once and alike for every variant."""
    totals = _totals(cast(MaskEngine, predictor.engine), part.data, plan)
    token = str(mask_token(plan.base.folder))
    return evaluated(
        lambda rows: of_totals(totals[rows].sum(axis=0)),
        len(part),
        headline="perplexity",
        ms_per_text=time_alone(predictor, part.data, lambda text: f"{token} {text}"),
    )


def baseline(part: Part, plan: Plan) -> dict[str, float]:
    """Each masked token as often as it stands in the training texts, and the commonest of them."""
    learned = _targets(plan.prepared.train.data, plan)
    asked = _targets(part.data, plan)
    commonest = np.bincount(learned).argmax()
    return {
        "perplexity": unigram_perplexity(learned.tolist(), asked.tolist(), load_config(plan.base).vocab_size),
        "masked_accuracy": float((asked == commonest).mean()),
    }


def _totals(engine: MaskEngine, data: Dataset, plan: Plan) -> NDArray[np.float64]:
    """What was found of each text, `[N, 3]`, through the engine that serves."""
    totals = np.zeros((len(data), 3))
    for numbers, hidden in _hidden(data, plan):
        np.add.at(totals, numbers, engine.scores([one.row for one in hidden], partial(_marks, hidden)) or 0)
    return totals


def _targets(data: Dataset, plan: Plan) -> NDArray[np.int64]:
    """The tokens that are to be found in all texts."""
    return np.concatenate([one.targets for _, hidden in _hidden(data, plan) for one in hidden])


def _hidden(data: Dataset, plan: Plan) -> Iterator[tuple[list[int], list[Hidden]]]:
    """Rows with hidden words, and the number of the text of each; a batch of texts at a time."""
    cutter = _cutter(plan)
    masking, seed, count, start = _masking(plan, cutter), plan.settings.train.seed, itertools.count(), 0
    for texts, _ in data.batches():
        cut = list(cutter.rows(texts))
        hidden = [masking.hide(row, words, drawing(seed, 0, next(count))) for _, row, words in cut]
        yield [start + number for number, _, _ in cut], hidden
        start += len(texts)


def _marks(hidden: Sequence[Hidden], index: int, logits_TV: Array) -> Array:
    return found(logits_TV[hidden[index].chosen], hidden[index].targets)


def _options(plan: Plan) -> MaskingOptions:
    return cast(MaskingOptions, plan.prepared.options)


def _cutter(plan: Plan) -> Cutter:
    return Cutter(
        load_tokenizer(plan.base.tokenizer), plan.opened(Encoder).max_length, whole_words=_options(plan).whole_words
    )


def _masking(plan: Plan, cutter: Cutter) -> Masking:
    mask = load_tokenizer(plan.base.tokenizer).token_to_id(str(mask_token(plan.base.folder)))
    return Masking(_options(plan).mask, cast(int, mask), cutter.ordinary)


def _texts(data: Dataset, on_rows: Callable[[int], None]) -> Iterator[list[str]]:
    """All texts of the inputs, a batch at a time."""
    for inputs, _ in data.batches():
        yield list(strings(inputs))
        on_rows(len(inputs))


def _write_apart(cutter: Cutter, batches: Iterable[Sequence[str]], writer: SplitWriter, side: str) -> None:
    """Rows of single texts; says how many texts have none."""
    left_out = 0
    for texts in batches:
        used = set()
        for number, row, words in cutter.rows(texts):
            writer.add(row, words.tolist())
            used.add(number)
        left_out += len(texts) - len(used)
    if left_out:
        warn("encode", f"{left_out:,} {side} texts are left out: fewer than two tokens of each are in the vocabulary")
