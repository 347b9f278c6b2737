"""Causal models: they go on with a text, answer a prompt, take part in a conversation.

Loss: cross-entropy of the next token: of all tokens of texts, of the response, of the assistant's turns.
Plain texts are packed to full rows, the texts of a row apart from each other; of the others each has a row.
Axes: B rows of a batch, T tokens of a row, M learned tokens of a batch, V tokens of the vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import AutoModelForCausalLM

from tunewright.job.batches import causal
from tunewright.job.batches.conversations import CausalEncoder, cut, end_of_turn, usual_template
from tunewright.job.batches.side import Array
from tunewright.job.batches.text import NO_LABEL, SplitWriter
from tunewright.job.data.dataset import Dataset
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.export.generation import export_generation
from tunewright.job.kinds.options import WritingOptions
from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.kinds.task import Graph, Inputs, Learner
from tunewright.job.kinds.texts import kept_breaks
from tunewright.job.learners import texts
from tunewright.job.measure.rows.answers import TextAnswers
from tunewright.job.measure.written import rouge
from tunewright.job.model.base_model import BaseCheckpoint
from tunewright.job.model.build import build_writer
from tunewright.job.model.generation_defaults import first_eos, generation_tokens, merged, write_generation_config
from tunewright.job.model.load import load_config
from tunewright.job.model.tokenizer import chat_template, choose_length, length_limit, padding_of, special_tokens
from tunewright.job.progress.events import say, warn
from tunewright.job.settings.job import JobSettings
from tunewright.job.train import next_token
from tunewright.job.train.objective import Objective
from tunewright.serving.bundle.model_file import Variant
from tunewright.serving.engines.generation import compared, probe
from tunewright.serving.errors import BundleError
from tunewright.serving.generation.chat_template import FILE, ChatTemplate
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.predictor import Predictor
from tunewright.serving.tasks.text_generation import ContinuationEngine, Messages, Prompter
from tunewright.serving.text.encoding import Encoded, Padding, load_tokenizer
from tunewright.serving.trial.trials import try_template

_ANSWER_ALONE = {"return_full_text": False}


class PromptInputs(Inputs):
    """Texts, prompts with responses, or conversations as token ids."""

    needs = texts.TOKENIZER

    def open_encoder(self, settings: JobSettings, base: BaseCheckpoint) -> CausalEncoder:
        """The tokenizer, the chat template and the limits."""
        limit = length_limit(base.folder, base.config())
        length = choose_length(settings.train.max_length, limit, base.address)
        eos = first_eos(generation_tokens(base))
        tokens = special_tokens(base.folder)
        tokens.setdefault("eos_token", str(load_tokenizer(base.tokenizer).id_to_token(eos)))
        cleaning = kept_breaks(settings.data.cleaning)
        source = _template_source(settings, base, Prompter(base.tokenizer, cleaning, None), tokens["eos_token"])
        try:
            if source:
                try_template(source, tokens, cache=base.cache)
            template = ChatTemplate(source, tokens) if source else None
        except BundleError as error:
            raise SettingsError(f"options.chat_template: {error}") from error
        return CausalEncoder(
            prompter=Prompter(base.tokenizer, cleaning, template),
            max_length=length,
            context=limit or length,
            pad=padding_of(base.folder, base.config()).id,
            eos=eos,
            special_tokens=tokens,
            template=source,
        )

    def encode(self, plan: Plan, side: str, folder: Path, on_rows: Callable[[int], None]) -> causal.CausalRows:
        """Rows of tokens with what is to be learned at each, kept on disk."""
        part = plan.prepared.part(side)
        writer = SplitWriter(folder)
        if is_plain(plan):
            documents = (plan.opened(CausalEncoder).document(text) for text in _inputs(part, on_rows))
            for segments in causal.packed(documents, plan.opened(CausalEncoder).max_length):
                writer.add(*_joined(segments))
        else:
            _write_answers(plan, part, writer, side, on_rows)
        split = writer.close()
        if not len(split):
            raise DataError(
                f"no {side} row has a token to be learned within {plan.opened(CausalEncoder).max_length} tokens"
            )
        windowed = getattr(load_config(plan.base), "sliding_window", None) is not None
        return causal.CausalRows(split, plan.opened(CausalEncoder).pad, windowed=windowed)

    def described(self, plan: Plan) -> dict[str, object]:
        """How it writes and chats."""
        encoder = plan.opened(CausalEncoder)
        return {
            "max_length": encoder.max_length,
            "cleaning": encoder.prompter.cleaning,
            "padding": Padding(id=encoder.pad),
            "options": {
                "generation": _generation(plan).model_dump(exclude_unset=True),
                "context": encoder.context,
                "special_tokens": dict(encoder.special_tokens),
                "chat": encoder.template is not None,
            },
        }

    @torch.no_grad()
    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[object]) -> list[Array]:
        """Log-probabilities of the first new token and of the one after a given one."""
        encoder = plan.opened(CausalEncoder)
        served, found = plan.prepared.task.columns.served, []
        for value in inputs:
            ids = encoder.prompt(served(value))[: encoder.context - 1]
            begun = torch.tensor([[*ids, probe(ids, model.config.vocab_size)]])  # type: ignore[union-attr,arg-type]
            found.append(compared(model(input_ids=begun)["logits"][0, -2:].float().numpy()))
        return found


class Decoder(Graph):
    """A model that writes the next token."""

    architectures = tuple(
        """gemma gemma2 gemma3_text gpt2 gpt_neox granite llama mistral olmo2 opt phi phi3 qwen2 qwen3 qwen3_moe
        smollm3""".split()
    )

    def build(self, plan: Plan) -> nn.Module:
        """The base, which writes already."""
        model, is_new = build_writer(AutoModelForCausalLM, plan.base, plan.settings.train)
        if is_new:
            warn("model", "the base model was not taught to write: its last layer is new")
        return model

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph with a cache for each variant, and the chat template."""
        encoder = plan.opened(CausalEncoder)
        weights = folder / "weights"
        write_generation_config(_generation(plan), encoder.pad, weights)
        if encoder.template:
            for place in (folder, weights):
                (place / FILE).write_text(encoder.template, encoding="utf-8")
        return export_generation(model, folder, variants)


CAUSAL_LEARNER = Learner(PromptInputs(), Decoder())


def objective(plan: Plan) -> Objective:
    """Cross-entropy of the next token; perplexity decides which epoch was best."""
    return next_token.objective(plan.settings.train, load_config(plan.base).vocab_size)


def baseline(part: Part, plan: Plan) -> dict[str, float]:
    """Each token as often as in the training rows."""
    learned, asked = _learned(plan.prepared.train, plan), _learned(part, plan)
    return {"perplexity": next_token.unigram_perplexity(learned, asked, load_config(plan.base).vocab_size)}


def is_plain(plan: Plan) -> bool:
    """Whether the rows are texts, without answers."""
    return "text" in plan.prepared.roles.inputs


def losses(engine: ContinuationEngine, part: Part, plan: Plan) -> NDArray[np.float64]:
    """Summed cross-entropy and number of the learned tokens of each row `[N, 2]`, by the exported graph."""
    found, start = np.zeros((len(part), 2)), 0
    for inputs, targets in part.data.batches():
        # Not in the threads: transformers marks the assistant's turns in an object that all of them would share.
        rows = [plan.opened(CausalEncoder).pieces(*row) for row in zip(inputs, targets, strict=True)]
        numbers = [start + number for number, row in enumerate(rows) for _ in row]
        pieces = [piece for row in rows for piece in row]
        np.add.at(found, numbers, engine.scores([ids for ids, _ in pieces], partial(_loss, pieces)) or 0)
        start += len(rows)
    return found


def _loss(pieces: Sequence[causal.Segment], index: int, scores_TV: Array) -> tuple[float, int]:
    return next_token.cross_entropy(scores_TV, pieces[index][1])


def written_answers(predictor: Predictor, part: Part, plan: Plan) -> TextAnswers:
    """The answers to the first rows, with the ROUGE-L of each."""
    numbers, served = answerable_rows(part, plan)[: _options(plan).generated_rows], plan.prepared.task.columns.served
    rows = part.data.select(numbers)
    found: list[str] = []
    truths: list[str] = []
    for inputs, targets in rows.batches():
        answers = predictor.predict([served(value) for value in inputs], _ANSWER_ALONE)
        found += [answer[0]["generated_text"] for answer in answers]
        truths += [_reference(value, target) for value, target in zip(inputs, targets, strict=True)]
    near = rouge(found, truths, ["rougeL"])[:, 0].astype(np.float32)
    return TextAnswers([[truth] for truth in truths], found, near, "ROUGE-L", numbers.tolist())


def answerable(part: Part, plan: Plan) -> Dataset:
    """The rows whose prompt leaves room for an answer; DataError where there are none."""
    return part.data.select(answerable_rows(part, plan))


def answerable_rows(part: Part, plan: Plan) -> NDArray[np.int64]:
    """Their numbers."""
    encoder = plan.opened(CausalEncoder)
    task = plan.prepared.task
    lengths = [len(encoder.prompt(task.columns.served(value))) for inputs, _ in part.data.batches() for value in inputs]
    rows = np.flatnonzero(np.array(lengths) < encoder.context)
    if not len(rows):
        raise DataError(f"no test prompt leaves room for an answer within the model's {encoder.context} tokens")
    return rows


def _options(plan: Plan) -> WritingOptions:
    return cast(WritingOptions, plan.prepared.options)


def _template_source(settings: JobSettings, base: BaseCheckpoint, prompter: Prompter, eos: str) -> str | None:
    """The chat template as asked, as the base model has it, or the usual one where there are chats to learn from."""
    asked = WritingOptions.model_validate(settings.options).chat_template
    if asked is not None and "{" not in asked:
        try:
            return Path(asked).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"options.chat_template: {asked} cannot be read, and is no template itself") from error
    found = asked or chat_template(base.folder)
    if found is None and "messages" in settings.data.columns:
        say("model", "the base model has no chat template: ChatML is used (options.chat_template sets another one)")
        return usual_template(prompter, eos)
    return found


def _generation(plan: Plan) -> GenerationSettings:
    tokens = generation_tokens(plan.base)
    turn = end_of_turn(plan.opened(CausalEncoder).prompter) if plan.opened(CausalEncoder).template else None
    stated = tokens["eos_token_id"]
    eos = list(stated) if isinstance(stated, list) else [stated]
    if turn is not None and turn not in eos:
        tokens["eos_token_id"] = [*eos, turn]
    return merged(tokens, {"max_new_tokens": 256}, _options(plan).generation)


def _inputs(part: Part, on_rows: Callable[[int], None]) -> Iterator[str]:
    for some, _ in part.data.batches():
        yield from some
        on_rows(len(some))


def _joined(segments: Sequence[causal.Segment]) -> tuple[Encoded, list[int]]:
    """Several segments as one row; neighbours differ in their type id."""
    ids = [token for tokens, _ in segments for token in tokens]
    kinds = [place % 2 for place, (tokens, _) in enumerate(segments) for _ in tokens]
    return Encoded(ids, kinds, truncated=False), [label for _, labels in segments for label in labels]


def _write_answers(plan: Plan, part: Part, writer: SplitWriter, side: str, on_rows: Callable[[int], None]) -> None:
    """A row for each prompt or conversation; what fills the row before the answer begins is left out and counted."""
    encoder = plan.opened(CausalEncoder)
    without = 0
    for inputs, targets in part.data.batches():
        for asked, response in zip(inputs, targets, strict=True):
            whole = encoder.whole(asked, response)
            ids, labels = cut(whole, encoder.max_length)
            if any(label != NO_LABEL for label in labels):
                writer.add(Encoded(ids, [0] * len(ids), len(ids) < len(whole[0])), labels)
            else:
                without += 1
        on_rows(len(inputs))
    if without:
        what = f"{without:,} of {len(part):,} {side} prompts fill a row of {encoder.max_length} tokens"
        warn("encode", f"{what} and are left out: no token of an answer is left; see train.max_length", rows=without)


def _learned(part: Part, plan: Plan) -> Iterator[int]:
    """The tokens that are learned, or asked for, of all rows."""
    for inputs, targets in part.data.batches():
        for row in zip(inputs, targets, strict=True):
            for _, labels in plan.opened(CausalEncoder).pieces(*row):
                yield from (label for label in labels if label != NO_LABEL)


def _reference(value: str | Messages, target: str | None) -> str:
    """What was to be written."""
    if target is not None:
        return target
    return str([message["content"] for message in cast(Messages, value) if message["role"] == "assistant"][-1])
