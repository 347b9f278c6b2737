"""Masked language modelling, taught: find the words that are hidden in unlabelled text.

A base model that has read the texts of a domain so is a better base for the tasks of that domain.
Loss: cross-entropy over the vocabulary at the masked tokens.
Axes: B rows of a batch, T tokens of a row, M masked tokens of a batch, V tokens of the vocabulary.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from tunewright.job.batches.masked import Cutter, Hidden, Ids, MaskedRows, Masking, drawing
from tunewright.job.batches.side import Array, Batch
from tunewright.job.batches.text import SplitWriter
from tunewright.job.data.check import Cells
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.data.dataset import Dataset, strings
from tunewright.job.errors import BaseModelError, DataError, SettingsError
from tunewright.job.kinds.task import Part, Plan
from tunewright.job.kinds.text import TextTask
from tunewright.job.measure.evaluation import Evaluation, evaluated, time_alone
from tunewright.job.model.base_model import BaseModel
from tunewright.job.model.build import build_masked, load_config
from tunewright.job.model.tokenizer import cleans_up, mask_token
from tunewright.job.progress import say, warn
from tunewright.job.settings.job import JobSettings, refuse_useless
from tunewright.job.train.next_token import unigram_perplexity
from tunewright.job.train.objective import Objective, Scored, forward
from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.predictor import Predictor
from tunewright.serving.runtime.scores import cross_entropy
from tunewright.serving.tasks.masked_language_modelling import MaskEngine, own_and_best
from tunewright.serving.text.encoding import Encoder, load_tokenizer

_USELESS = ("pooling", "label_smoothing", "class_weights", "focal_gamma", "huber_delta")
"""Settings of `train` that mean nothing here."""


class MaskingOptions(Options):
    """`options:` of masked-language-modelling."""

    mask: float = Field(default=0.15, gt=0, le=0.5)
    """Share of the tokens to be found."""
    whole_words: bool = False
    """Hide all tokens of a word together."""
    pack: bool = False
    """Fill each row with as many texts as it holds; when false each text has rows of its own."""


class MaskedLanguageModelling(TextTask):
    """Texts with hidden words to these words."""

    FORMS = (Form(("text",)),)
    OPTIONS = MaskingOptions
    EXPORT_TASK = "fill-mask"

    def problem(self, target_role: str, options: MaskingOptions) -> str:
        """There is one."""
        return "masked"

    def headline(self, problem: str) -> str:
        """Between how many tokens the model hesitates."""
        return "perplexity"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """Perplexity, and the share of the masked tokens that are found."""
        return ("perplexity", "masked_accuracy")

    def purpose(self, model: ModelFile) -> str:
        """Finds words, and is a base model."""
        return "Finds masked words in a text; its weights are a base model for other tasks"

    # Data

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """A text, and nothing."""
        return self.text_type(roles), pa.null()

    def read(self, cells: Cells) -> tuple[Any, Any] | None:
        """The text."""
        text = cells.texts()
        return None if text is None else (text, None)

    # Encoding

    def open_encoder(self, settings: JobSettings, base: BaseModel) -> Encoder:
        """The tokenizer with its limits; BaseModelError for one without a mask."""
        if mask_token(base.folder) is None:
            raise BaseModelError(
                f"base model {base.address!r} has no mask token, so it cannot learn to find masked words; choose an "
                "encoder that was pretrained to do that, such as a BERT"
            )
        return super().open_encoder(settings, base)

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> MaskedRows:
        """Token ids and the word of each token, kept on disk; which words are hidden is drawn for each batch."""
        part: Part = getattr(plan.prepared, side)
        cutter, writer = _cutter(plan), SplitWriter(folder)
        if _options(plan).pack:
            for row, words in cutter.packed(_texts(part.data, on_rows)):
                writer.add(row, words.tolist())
        else:
            _write_apart(cutter, _texts(part.data, on_rows), writer, side)
        split = writer.close()
        if len(part) and not len(split):
            raise DataError(f"no {side} text has two tokens that the tokenizer knows; there is nothing to mask")
        masking = _masking(plan, cutter)
        return MaskedRows(split, masking, plan.encoder, self.graph_inputs(plan), plan.settings.train.seed)

    # Learning

    def build_model(self, plan: Plan) -> nn.Module:
        """The base with its own head, or with a new one."""
        model, is_new = build_masked(plan.base, plan.settings.train)
        if is_new:
            say("model", "the base model brings no head that finds masked words: a new one is made and learns too")
        return model

    def objective(self, plan: Plan) -> Objective:
        """Cross-entropy at the masked tokens; perplexity decides."""
        settings = plan.settings
        refuse_useless(settings.train, _USELESS, f"{settings.task} has no labels and takes tokens as they are")
        if settings.adapt:
            raise SettingsError(f"adapt would have no effect: {settings.task} adapts a base model itself; remove it")
        metric = settings.train.metric or self.headline("masked")
        return Objective(functional.cross_entropy, figures, metric, forward=masked_logits)

    # Release

    def model_file(self, plan: Plan, variants: dict[str, Variant]) -> ModelFile:
        """The mask besides what every text model has."""
        options = {"mask_token": mask_token(plan.base.folder), "clean_up": cleans_up(plan.base.folder)}
        return super().model_file(plan, variants).model_copy(update={"options": options})

    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Any]) -> list[Array]:
        """For each token of a text its own logit and the largest one, `[T, 2]`: all of them would fill the memory."""
        rows = plan.encoder.encode(inputs)
        return [own_and_best(self.torch_rows(model, plan, [row])[0], row.ids) for row in rows]

    def evaluate(self, predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
        """Each text in rows of its own, masked once and alike for every variant."""
        totals = _totals(cast(MaskEngine, predictor.engine), part.data, plan)
        token = str(mask_token(plan.base.folder))
        return evaluated(
            lambda rows: _figures(totals[rows].sum(axis=0)),
            len(part),
            headline=self.headline("masked"),
            ms_per_text=time_alone(predictor, part.data, lambda text: f"{token} {text}"),
        )

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """Each masked token as often as it stands in the training texts, and the commonest of them."""
        learned = _targets(plan.prepared.train.data, plan)
        asked = _targets(part.data, plan)
        commonest = np.bincount(learned).argmax()
        return {
            "perplexity": unigram_perplexity(learned.tolist(), asked.tolist(), load_config(plan.base).vocab_size),
            "masked_accuracy": float((asked == commonest).mean()),
        }


def masked_logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Logits `[M, V]` of the tokens that `masked` marks, or `[B, T, V]` of all where it is absent.

    The last layer sees nothing but those tokens: with a vocabulary this large it costs as much as all the others.
    """
    inputs = {name: tensor for name, tensor in batch.items() if name != "masked"}
    if "masked" not in batch:
        return forward(model, inputs)
    masked_BT = batch["masked"]
    last: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
    hook = last.register_forward_pre_hook(lambda _, args: (args[0][masked_BT], *args[1:]))
    try:
        logits = forward(model, inputs)
    finally:
        hook.remove()
    # MobileBERT multiplies with its last layer's weights and never calls it.
    return logits if logits.ndim == 2 else logits[masked_BT]


def figures(scored: Scored) -> dict[str, float]:
    """Perplexity and accuracy over all masked tokens."""
    totals = np.zeros(3)
    for _, batch, logits in scored:
        totals += found(logits.cpu().numpy(), batch["targets"].cpu().numpy())
    return _figures(totals)


def found(logits_MV: Array, targets_M: Ids) -> Array:
    """Sum of the cross-entropies, tokens that were found, tokens that were to be found: `[3]`."""
    entropy_M = cross_entropy(logits_MV, targets_M)
    is_best_M = logits_MV.argmax(axis=-1) == targets_M
    return np.array([entropy_M.sum(), is_best_M.sum(), len(targets_M)], dtype=np.float32)


def _figures(totals: NDArray[np.float64]) -> dict[str, float]:
    entropy, right, tokens = totals
    # Over 700 a float64 ends; no text is that surprising unless the model is broken.
    return {
        "perplexity": math.exp(min(entropy / max(tokens, 1), 700)),
        "masked_accuracy": float(right / max(tokens, 1)),
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
    return Cutter(load_tokenizer(plan.base.tokenizer), plan.encoder.max_length, whole_words=_options(plan).whole_words)


def _masking(plan: Plan, cutter: Cutter) -> Masking:
    mask = load_tokenizer(plan.base.tokenizer).token_to_id(str(mask_token(plan.base.folder)))
    return Masking(_options(plan).mask, mask, cutter.ordinary)


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
