"""Encoder-decoder models that are taught to write a text for a text.

Loss: cross-entropy over the tokens of the target, each predicted from the source and the tokens before it.
Axes: B rows of a batch, T tokens of a row, M target tokens of a batch, V tokens of the vocabulary.
"""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import AutoModelForSeq2SeqLM, PretrainedConfig

from tunewright.job.batches.side import Array, Batch
from tunewright.job.batches.text import NO_LABEL, EncodedSplit, SplitWriter, encoded, percentiles
from tunewright.job.errors import SettingsError
from tunewright.job.export.generation import export_generation
from tunewright.job.kinds.options import TextToTextOptions
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Graph, Inputs, Learner
from tunewright.job.learners import texts
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.build import build_writer
from tunewright.job.model.generation_defaults import (
    Tokens,
    first_eos,
    generation_tokens,
    merged,
    write_generation_config,
)
from tunewright.job.model.load import load_config
from tunewright.job.model.tokenizer import choose_length, length_limit, padding_of, tokenizer_class
from tunewright.job.progress.events import say, warn
from tunewright.job.settings.job import JobSettings
from tunewright.job.train import next_token
from tunewright.job.train.objective import Objective
from tunewright.serving.bundle.model_file import Variant
from tunewright.serving.engines.generation import compared, probe
from tunewright.serving.engines.text_to_text import TextToTextEngine
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.text.encoding import Encoded, Encoder, load_tokenizer

_CODES_BEHIND = ("MBartTokenizer", "MBartTokenizerFast")
"""Tokenizers that put a language's code behind the text; others put it before."""
_USUAL_BEAMS = 4


class SourceInputs(Inputs):
    """Sources, and the targets to be written for them, as token ids."""

    needs = texts.TOKENIZER

    def open_encoder(self, settings: JobSettings, base: BaseCheckpoint) -> Encoder:
        """The tokenizer of the sources with its limits."""
        length = choose_length(settings.train.max_length, length_limit(base.folder, base.config()), base.address)
        options = TextToTextOptions.model_validate(settings.options)
        return _encoder(base, settings, options.source_lang, length)

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> "SourceTarget":
        """Token ids of sources and targets, kept on disk."""
        sources, targets = SplitWriter(folder / "source"), SplitWriter(folder / "target")
        read_targets = _target_reader(plan)
        for some, truths in plan.prepared.part(side).data.batches():
            for row in encoded(plan.opened(Encoder), [_source(plan, text) for text in some]):
                sources.add(row)
            for row in read_targets(truths):
                targets.add(row)
            on_rows(len(some))
        rows = SourceTarget(sources.close(), targets.close(), plan.opened(Encoder), _start(plan))
        _say_targets(rows.targets, side, _options(plan).max_target_length)
        return rows

    def described(self, plan: Plan) -> dict[str, object]:
        """How it writes, besides what every text model has."""
        options = {
            "generation": _generation(plan).model_dump(exclude_unset=True),
            "source_prefix": _options(plan).source_prefix,
            "context": getattr(load_config(plan.base), "max_position_embeddings", None),
        }
        return {**texts.described(plan.opened(Encoder)), "options": options}

    @torch.no_grad()
    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[str]) -> list[Array]:
        """Log-probabilities of the first token and of the one after a given one."""
        start, found = _start(plan), []
        for row in plan.opened(Encoder).encode([_source(plan, text) for text in inputs]):
            ids = torch.tensor([row.ids])
            begun = torch.tensor([[start, probe(row.ids, model.config.vocab_size)]])  # type: ignore[union-attr,arg-type]
            found.append(compared(model(input_ids=ids, decoder_input_ids=begun)["logits"][0].float().numpy()))
        return found


class EncoderDecoder(Graph):
    """A model that reads a text and writes another."""

    architectures = ("bart", "m2m_100", "marian", "mbart", "mt5", "pegasus", "t5")

    def build(self, plan: Plan) -> nn.Module:
        """The base, which writes already."""
        model, is_new = build_writer(AutoModelForSeq2SeqLM, plan.base, plan.settings.train)
        if is_new:
            warn("model", "the base model was not taught to write: its last layer is new")
        config = cast(PretrainedConfig, model.config)
        # As transformers' own pipeline reads it from the weights.
        config.prefix = _options(plan).source_prefix or None
        return model

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """An encoder and a decoder for each variant; the tokenizer with the language of the sources."""
        with tempfile.TemporaryDirectory() as work:
            path = _tokenizer_file(plan.base, _options(plan).source_lang, Path(work))
            (folder / "tokenizer.json").write_bytes(path.read_bytes())
        write_generation_config(_generation(plan), plan.opened(Encoder).padding.id, folder / "weights")
        return export_generation(model, folder, variants)


TEXT_TO_TEXT_LEARNER = Learner(SourceInputs(), EncoderDecoder())


def objective(plan: Plan) -> Objective:
    """Cross-entropy of the targets; perplexity decides which epoch was best."""
    _tokens(plan)
    return next_token.objective(plan.settings.train, load_config(plan.base).vocab_size)


def perplexity(engine: TextToTextEngine, part: Part, plan: Plan) -> float:
    """Of the targets, by the exported graph."""
    start = _start(plan)

    losses, read_targets = [], _target_reader(plan)
    for some, truths in part.data.batches():
        sources = plan.opened(Encoder).encode([_source(plan, text) for text in some])
        targets = [target.ids for target in read_targets(truths)]
        pairs = [(one.ids, [start, *ids[:-1]]) for one, ids in zip(sources, targets, strict=True)]
        losses += engine.scores(pairs, partial(_loss, targets))
    return next_token.perplexity(*np.sum(losses, axis=0).tolist())


def _loss(targets: Sequence[Sequence[int]], index: int, scores_TV: Array) -> tuple[float, int]:
    return next_token.cross_entropy(scores_TV, targets[index])


class SourceTarget:
    """Encoded sources and targets as the training loop reads them."""

    def __init__(self, sources: EncodedSplit, targets: EncodedSplit, encoder: Encoder, start: int) -> None:
        """`start`: the token before the first one of a target."""
        self.sources, self.targets = sources, targets
        self._encoder, self._start = encoder, start
        self.lengths: NDArray[np.int64] = sources.lengths + targets.lengths
        self.truncated = sources.truncated

    def __len__(self) -> int:
        return len(self.sources)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Source ids `[B, T]`, what the decoder reads `[B, T]`, and what it shall say `[M]`."""
        arrays = self._encoder.pad([self.sources.row(row) for row in rows], ["input_ids", "attention_mask"])
        labels = np.full((len(rows), int(self.targets.lengths[list(rows)].max())), NO_LABEL, dtype=np.int64)
        for place, row in enumerate(rows):
            ids = self.targets.row(row).ids
            labels[place, : len(ids)] = ids
        before = np.full_like(labels, self._start)
        before[:, 1:] = np.where(labels[:, :-1] == NO_LABEL, self._encoder.padding.id, labels[:, :-1])
        learned = labels != NO_LABEL
        arrays |= {"decoder_input_ids": before, "learned": learned, "targets": labels[learned]}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _source(plan: Plan, text: str) -> str:
    return f"{_options(plan).source_prefix}{text}"


def _target_reader(plan: Plan) -> Callable[[Sequence[str]], list[Encoded]]:
    """What gives targets the end token that an answer must have."""
    options, eos = _options(plan), first_eos(_tokens(plan))
    encoder = _encoder(plan.base, plan.settings, options.target_lang, options.max_target_length)
    return lambda targets: [_ended(row, eos, options) for row in encoded(encoder, targets)]


def _options(plan: Plan) -> TextToTextOptions:
    return cast(TextToTextOptions, plan.prepared.options)


def _start(plan: Plan) -> int:
    """The token before the first one of an answer."""
    return cast(int, _tokens(plan)["decoder_start_token_id"])


def _tokens(plan: Plan) -> Tokens:
    """The ids of the tokens that begin and end an answer, for the language of the targets."""
    tokens, language = generation_tokens(plan.base), _options(plan).target_lang
    if language is not None:
        code = _code(plan.base, language, "target_lang")
        where = "decoder_start_token_id" if _is_code_behind(plan.base) else "forced_bos_token_id"
        tokens[where] = code
    return tokens


def _generation(plan: Plan) -> GenerationSettings:
    options = _options(plan)
    usual = {"max_new_tokens": options.max_target_length, "num_beams": _USUAL_BEAMS}
    if options.generation.do_sample:
        usual["num_beams"] = 1
    return merged(_tokens(plan), usual, options.generation)


def _encoder(base: BaseCheckpoint, settings: JobSettings, language: str | None, length: int) -> Encoder:
    padding = padding_of(base.folder, base.config())
    with tempfile.TemporaryDirectory() as work:
        path = _tokenizer_file(base, language, Path(work))
        return Encoder(path, max_length=length, padding=padding, cleaning=settings.data.cleaning)


def _tokenizer_file(base: BaseCheckpoint, language: str | None, work: Path) -> Path:
    """The tokenizer; for a multilingual model it puts the code of the language and the end token around a text."""
    if language is None:
        return base.tokenizer
    tokenizer = load_tokenizer(base.tokenizer)
    eos = str(tokenizer.id_to_token(first_eos(generation_tokens(base))))
    _code(base, language, "source_lang")
    around = f"$A {eos} {language}" if _is_code_behind(base) else f"{language} $A {eos}"
    ids = [(token, tokenizer.token_to_id(token)) for token in (eos, language)]
    tokenizer.post_processor = TemplateProcessing(single=around, special_tokens=ids)
    tokenizer.save(str(work / "tokenizer.json"))
    return work / "tokenizer.json"


def _code(base: BaseCheckpoint, language: str, option: str) -> int:
    code = load_tokenizer(base.tokenizer).token_to_id(language)
    if code is None:
        raise SettingsError(
            f"options.{option} is {language!r}, which is no token of the base model; multilingual models have such as "
            "en_XX (mBART) or eng_Latn (NLLB), others need no code"
        )
    return int(code)


def _is_code_behind(base: BaseCheckpoint) -> bool:
    return tokenizer_class(base.folder) in _CODES_BEHIND


def _ended(row: Encoded, eos: int, options: TextToTextOptions) -> Encoded:
    """A target that ends, also where the tokenizer adds no end token."""
    if eos in row.ids[-2:]:
        return row
    ids = [*row.ids[: options.max_target_length - 1], eos]
    return Encoded(ids, [0] * len(ids), row.truncated)


def _say_targets(targets: EncodedSplit, side: str, limit: int) -> None:
    middle, most, longest = percentiles(targets.lengths)
    say("encode", f"tokens per {side} target: median {middle}, 95 % up to {most}, longest {longest}; limit {limit}")
    if targets.truncated:
        what = f"{targets.truncated:,} of {len(targets):,} {side} targets are longer than {limit} tokens and are cut"
        warn("encode", f"{what}; see options.max_target_length", truncated=targets.truncated)
