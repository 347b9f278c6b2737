"""Text generation, taught: plain texts, prompts with responses, or chats; causal models.

Loss: cross-entropy of the next token: of all tokens of texts, of the response, of the assistant's turns.
Plain texts are packed to full rows, the texts of a row apart from each other; of the others each has a row.
Axes: B rows of a batch, T tokens of a row, M learned tokens of a batch, V tokens of the vocabulary.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from torch import nn
from transformers import AutoModelForCausalLM

from tunewright.job.batches import causal
from tunewright.job.batches.conversations import CausalEncoder, cut, end_of_turn, usual_template
from tunewright.job.batches.side import Array
from tunewright.job.batches.text import NO_LABEL, SplitWriter
from tunewright.job.data.check import Cells, whole
from tunewright.job.data.columns import Form, Options, Roles
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.export.generation import export_generation
from tunewright.job.kinds.task import Part, Plan, Task
from tunewright.job.measure.evaluation import Evaluation, evaluated, time_alone
from tunewright.job.measure.written import rouge
from tunewright.job.model.base_model import BaseModel
from tunewright.job.model.build import build_writer, load_config
from tunewright.job.model.generation_defaults import first_eos, generation_tokens, merged, write_generation_config
from tunewright.job.model.tokenizer import chat_template, choose_length, length_limit, padding_of, special_tokens
from tunewright.job.progress import say, warn
from tunewright.job.settings.job import JobSettings
from tunewright.job.train import next_token
from tunewright.job.train.objective import Objective
from tunewright.serving.bundle.model_file import ModelFile, Variant
from tunewright.serving.engines.generation import compared, probe
from tunewright.serving.errors import BundleError
from tunewright.serving.generation.chat_template import FILE, ChatTemplate
from tunewright.serving.generation.settings import GenerationSettings
from tunewright.serving.predictor import Predictor
from tunewright.serving.tasks.text_generation import ContinuationEngine, Prompter, message_fault
from tunewright.serving.text.cleaning import Cleaning, clean
from tunewright.serving.text.encoding import Encoded, Padding, load_tokenizer
from tunewright.serving.trial import try_template

ARCHITECTURES = ("gpt2", "gpt_neox", "llama", "opt", "phi", "phi3", "qwen2", "qwen3")
"""Decoders whose answers were compared with those of transformers."""
_BEGINNING = 200
"""Characters of a text that stand for it where one prompt is wanted."""
_ANSWER_ALONE = {"return_full_text": False}


class WritingOptions(Options):
    """`options:` of text-generation."""

    chat_template: str | None = None
    """Jinja template of a conversation, or a file that holds one; the base model's own, else ChatML, when absent."""
    generation: GenerationSettings = GenerationSettings()
    """How the model writes when a caller says nothing: greedy, up to 256 tokens, where it does not say."""
    generated_rows: int = Field(default=200, ge=1)
    """Test rows whose answer is written and compared with the reference by ROUGE-L."""


class TextGeneration(Task):
    """A text, a prompt or a conversation to what comes next."""

    FORMS = (Form(("text",)), Form(("prompt",), target="response"), Form(("messages",)))
    OPTIONS = WritingOptions

    def problem(self, target_role: str, options: Options) -> str:
        """There is one; which columns were learned from says the form."""
        return "text_generation"

    def headline(self, problem: str) -> str:
        """Between how many tokens the model hesitates."""
        return "perplexity"

    def metric_names(self, problem: str) -> tuple[str, ...]:
        """ROUGE-L, from 0 to 1, is measured where rows have an answer."""
        return ("perplexity", "rougeL")

    def purpose(self, model: ModelFile) -> str:
        """A writer."""
        return "Goes on with a conversation" if model.options.get("chat") else "Goes on with a text"

    # Data

    def arrow_types(self, roles: Roles) -> tuple[pa.DataType, pa.DataType]:
        """A text or messages, and a response or nothing."""
        message = pa.struct([("role", pa.string()), ("content", pa.large_string())])
        asked = pa.list_(message) if "messages" in roles.inputs else pa.large_string()
        return asked, pa.large_string() if roles.target else pa.null()

    def read(self, cells: Cells) -> tuple[Any, Any] | None:
        """Texts that are not empty, or a conversation with an answer."""
        if "messages" in cells.roles.inputs:
            messages = _conversation(cells)
            return None if messages is None else (messages, None)
        asked = _written(cells, next(iter(cells.roles.inputs)))
        response = _written(cells, cells.roles.target_role) if cells.roles.target_role else ""
        return None if asked is None or response is None else (asked, response or None)

    def served(self, value: Any) -> Any:
        """The beginning of a text, a prompt, or a conversation up to the assistant's last turn."""
        if isinstance(value, str):
            return value[:_BEGINNING]
        last = max(place for place, message in enumerate(value) if message["role"] == "assistant")
        return tuple(value[:last])

    def request(self, value: Any) -> Any:
        """A text, or messages."""
        asked = self.served(value)
        return asked if isinstance(asked, str) else [dict(message) for message in asked]

    # Encoding

    def open_encoder(self, settings: JobSettings, base: BaseModel) -> CausalEncoder:
        """The tokenizer, the chat template and the limits."""
        limit = length_limit(base.folder, base.config())
        length = choose_length(settings.train.max_length, limit, base.address)
        eos = first_eos(generation_tokens(base))
        tokens = special_tokens(base.folder)
        tokens.setdefault("eos_token", str(load_tokenizer(base.tokenizer).id_to_token(eos)))
        cleaning = _cleaning(settings)
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
        part: Part = getattr(plan.prepared, side)
        writer = SplitWriter(folder)
        if _is_plain(plan):
            documents = (plan.encoder.document(text) for text in _inputs(part, on_rows))
            for segments in causal.packed(documents, plan.encoder.max_length):
                writer.add(*_joined(segments))
        else:
            _write_answers(plan, part, writer, side, on_rows)
        split = writer.close()
        if not len(split):
            raise DataError(f"no {side} row has a token to be learned within {plan.encoder.max_length} tokens")
        return causal.CausalRows(split, plan.encoder.pad)

    # Learning

    def architectures(self) -> Sequence[str]:
        """Decoders."""
        return ARCHITECTURES

    def build_model(self, plan: Plan) -> nn.Module:
        """The base, which writes already."""
        model, is_new = build_writer(AutoModelForCausalLM, plan.base, plan.settings.train)
        if is_new:
            warn("model", "the base model was not taught to write: its last layer is new")
        return model

    def objective(self, plan: Plan) -> Objective:
        """Cross-entropy of the next token; perplexity decides which epoch was best."""
        if _is_plain(plan) and "rougeL" in plan.settings.gate.min:
            raise SettingsError("gate.min names 'rougeL', which plain texts do not have: they hold no answers")
        return next_token.objective(plan.settings.train, load_config(plan.base).vocab_size)

    # Release

    def export(self, model: nn.Module, plan: Plan, folder: Path, variants: Sequence[str]) -> dict[str, Variant]:
        """One graph with a cache for each variant, and the chat template."""
        encoder: CausalEncoder = plan.encoder
        weights = folder / "weights"
        write_generation_config(_generation(plan), encoder.pad, weights)
        if encoder.template:
            for place in (folder, weights):
                (place / FILE).write_text(encoder.template, encoding="utf-8")
        return export_generation(model, folder, variants)

    def model_file(self, plan: Plan, variants: dict[str, Variant]) -> ModelFile:
        """How it writes and chats."""
        encoder: CausalEncoder = plan.encoder
        return ModelFile(
            format=1,
            task=plan.settings.task,
            problem=plan.prepared.problem,
            max_length=encoder.max_length,
            cleaning=encoder.prompter.cleaning,
            padding=Padding(id=encoder.pad),
            options={
                "generation": _generation(plan).model_dump(exclude_unset=True),
                "context": encoder.context,
                "special_tokens": dict(encoder.special_tokens),
                "chat": encoder.template is not None,
            },
            variants=variants,
            default_variant="fp32",
        )

    @torch.no_grad()
    def torch_outputs(self, model: nn.Module, plan: Plan, inputs: Sequence[Any]) -> list[Array]:
        """Log-probabilities of the first new token and of the one after a given one."""
        encoder: CausalEncoder = plan.encoder
        found = []
        for value in inputs:
            ids = encoder.prompt(self.served(value))[: encoder.context - 1]
            begun = torch.tensor([[*ids, probe(ids, model.config.vocab_size)]])  # type: ignore[union-attr,arg-type]
            found.append(compared(model(input_ids=begun)["logits"][0, -2:].float().numpy()))
        return found

    def evaluate(self, predictor: Predictor, part: Part, plan: Plan) -> Evaluation:
        """Perplexity by the exported graph, and ROUGE-L of answers as the server writes them."""
        losses = _losses(cast(ContinuationEngine, predictor.engine), part, plan)
        measured = evaluated(
            lambda rows: {"perplexity": next_token.perplexity(*losses[rows].sum(axis=0).tolist())},
            len(part),
            headline="perplexity",
            ms_per_text=time_alone(predictor, _answerable(part, plan), self.served),
        )
        if _is_plain(plan):
            return measured
        return replace(measured, metrics={**measured.metrics, "rougeL": self._rouge(predictor, part, plan)})

    def baseline(self, part: Part, plan: Plan) -> dict[str, float]:
        """Each token as often as in the training rows."""
        learned, asked = _learned(plan.prepared.train, plan), _learned(part, plan)
        return {"perplexity": next_token.unigram_perplexity(learned, asked, load_config(plan.base).vocab_size)}

    def _rouge(self, predictor: Predictor, part: Part, plan: Plan) -> float:
        """Mean ROUGE-L of the answers to the first rows."""
        rows = _answerable(part, plan)
        rows = rows.select(range(min(len(rows), cast(WritingOptions, plan.prepared.options).generated_rows)))
        found: list[str] = []
        truths: list[str] = []
        for inputs, targets in rows.batches():
            answers = predictor.predict([self.served(value) for value in inputs], _ANSWER_ALONE)
            found += [answer[0]["generated_text"] for answer in answers]
            truths += [_reference(value, target) for value, target in zip(inputs, targets, strict=True)]
        return float(rouge(found, truths, ["rougeL"]).mean())


def _is_plain(plan: Plan) -> bool:
    """Whether the rows are texts, without answers."""
    return "text" in plan.prepared.roles.inputs


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
    return clean(str(cells.value(role)), _kept_breaks(cells.settings.cleaning))


def _cleaning(settings: JobSettings) -> Cleaning:
    return _kept_breaks(settings.data.cleaning)


def _kept_breaks(cleaning: Cleaning) -> Cleaning:
    """White space is a part of what is written, unless the job says that it shall be folded."""
    return cleaning if "whitespace" in cleaning.model_fields_set else cleaning.model_copy(update={"whitespace": False})


def _template_source(settings: JobSettings, base: BaseModel, prompter: Prompter, eos: str) -> str | None:
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
    turn = end_of_turn(plan.encoder.prompter) if plan.encoder.template else None
    stated = tokens["eos_token_id"]
    eos = list(stated) if isinstance(stated, list) else [stated]
    if turn is not None and turn not in eos:
        tokens["eos_token_id"] = [*eos, turn]
    return merged(tokens, {"max_new_tokens": 256}, cast(WritingOptions, plan.prepared.options).generation)


def _inputs(part: Part, on_rows: Callable[[int], None]) -> Iterator[str]:
    for texts, _ in part.data.batches():
        yield from texts
        on_rows(len(texts))


def _joined(segments: Sequence[causal.Segment]) -> tuple[Encoded, list[int]]:
    """Several segments as one row; neighbours differ in their type id."""
    ids = [token for tokens, _ in segments for token in tokens]
    kinds = [place % 2 for place, (tokens, _) in enumerate(segments) for _ in tokens]
    return Encoded(ids, kinds, truncated=False), [label for _, labels in segments for label in labels]


def _write_answers(plan: Plan, part: Part, writer: SplitWriter, side: str, on_rows: Callable[[int], None]) -> None:
    """A row for each prompt or conversation; what fills the row before the answer begins is left out and counted."""
    encoder: CausalEncoder = plan.encoder
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
            for _, labels in plan.encoder.pieces(*row):
                yield from (label for label in labels if label != NO_LABEL)


def _losses(engine: ContinuationEngine, part: Part, plan: Plan) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Summed cross-entropy and number of the learned tokens of each row `[N, 2]`, by the exported graph."""
    losses, start = np.zeros((len(part), 2)), 0
    for inputs, targets in part.data.batches():
        # Not in the threads: transformers marks the assistant's turns in an object that all of them would share.
        rows = [plan.encoder.pieces(*row) for row in zip(inputs, targets, strict=True)]
        numbers = [start + number for number, row in enumerate(rows) for _ in row]
        pieces = [piece for row in rows for piece in row]
        np.add.at(losses, numbers, engine.scores([ids for ids, _ in pieces], partial(_loss, pieces)) or 0)
        start += len(rows)
    return losses


def _loss(pieces: Sequence[causal.Segment], index: int, scores_TV: Array) -> tuple[float, int]:
    return next_token.cross_entropy(scores_TV, pieces[index][1])


def _answerable(part: Part, plan: Plan) -> Any:
    """The rows whose prompt leaves room for an answer; DataError where there are none."""
    encoder: CausalEncoder = plan.encoder
    task = plan.prepared.task
    lengths = [len(encoder.prompt(task.served(value))) for inputs, _ in part.data.batches() for value in inputs]
    rows = np.flatnonzero(np.array(lengths) < encoder.context)
    if not len(rows):
        raise DataError(f"no test prompt leaves room for an answer within the model's {encoder.context} tokens")
    return part.data.select(rows)


def _reference(value: Any, target: str | None) -> str:
    """What was to be written."""
    if target is not None:
        return target
    return str([message["content"] for message in value if message["role"] == "assistant"][-1])
