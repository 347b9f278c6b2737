"""Text generation, answered: a text or a conversation gone on with, as the `text-generation` pipeline gives it.

An input is a text, or messages `[{"role": ..., "content": ...}]` that the bundle's chat template makes a text of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.engines.generation import GenerationEngine
from tunewright.serving.engines.task import Shapes
from tunewright.serving.errors import BundleError, InputError, shown
from tunewright.serving.generation.chat_template import FILE, ChatTemplate
from tunewright.serving.generation.detokenizer import Token
from tunewright.serving.generation.graph import CausalGraph
from tunewright.serving.generation.sequences import FINISH, Finish, OnText
from tunewright.serving.generation.settings import CallerSettings, GenerationSettings, read_settings
from tunewright.serving.generation.writing import Generated
from tunewright.serving.request import schema
from tunewright.serving.runtime.capacity import Capacity, available_cpus
from tunewright.serving.runtime.session import Array, TimeLimit
from tunewright.serving.text.cleaning import Cleaning, clean
from tunewright.serving.text.encoding import shared_tokenizer
from tunewright.serving.text.spacing import without_spaces_before_punctuation

ROLES = ("system", "user", "assistant")
_CHARACTERS_PER_TOKEN = 64
"""No ordinary text is that dense: a longer one is refused before a tokenizer walks all of it."""

Messages = tuple[dict[str, str], ...]
Input = str | Messages
Details = dict[str, object]
Answer = list[dict[str, str | list[dict[str, str]] | Details]]
Taken = TypeVar("Taken")


class Options(BaseModel):
    """What `model.json` says for this task alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    generation: GenerationSettings
    """What holds when a caller says nothing."""
    context: int = Field(ge=2)
    """Most tokens of a prompt and its answer together."""
    special_tokens: dict[str, str] = {}
    """What a chat template knows the tokenizer's special tokens by: bos_token, eos_token, ..."""
    chat: bool = False
    """Whether the bundle has a chat template."""


class Parameters(CallerSettings):
    """What a caller may set."""

    return_full_text: bool = True
    """Whether the prompt stands before the answer."""
    clean_up_tokenization_spaces: bool = True
    """Take out the spaces before punctuation."""
    details: bool = False
    """Whether the answer also says why it ended, and of which tokens it is, as text-generation-inference does."""
    top_n_tokens: int = Field(default=0, ge=0, le=20)
    """With details: how many of the likeliest tokens are told beside each that was chosen."""
    truncate: int | None = Field(default=None, ge=1)
    """Most tokens of a prompt; of a longer one the last so many are read."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """An input as the model reads it."""

    asked: Input
    """What the caller sent."""
    ids: list[int]
    settings: Parameters
    """How it is gone on with."""
    truncated: bool = False

    @property
    def top(self) -> int | None:
        """What is told of tokens."""
        return self.settings.top_n_tokens if self.settings.details else None


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    message = schema.closed({"role": {"type": "string", "enum": list(ROLES)}, "content": schema.FILLED})
    messages = schema.list_of(schema.named("Message", message), minItems=1)
    inputs = [schema.TEXT, schema.closed({"text": schema.TEXT})]
    generated: schema.Schema = schema.TEXT
    example: object = "Once upon a time"
    if read_options(Options, model).chat:
        inputs += [messages, schema.closed({"messages": messages})]
        generated, example = {"anyOf": [schema.TEXT, messages]}, [{"role": "user", "content": "What is a tide?"}]
    count: schema.Schema = {"type": "integer", "minimum": 0}
    token = schema.closed(
        {
            "id": count,
            "text": schema.TEXT,
            "logprob": {"type": "number", "description": "Of the model, before any rule."},
            "special": {"type": "boolean"},
        }
    )
    details = {
        "finish_reason": {**schema.TEXT, "enum": list(FINISH.values())},
        "generated_tokens": {**count, "description": "Tokens of the answer."},
        "input_length": {**count, "description": "Tokens of the prompt."},
        "seed": {**count, "nullable": True},
        "prefill": schema.list_of({}, maxItems=0),
        "tokens": {**schema.list_of(token), "description": "Of a beam search none."},
        "top_tokens": schema.list_of(schema.list_of(token)),
    }
    told = schema.closed(details, optional=("top_tokens",))
    answer = {"generated_text": generated, "details": told}
    return Shapes(
        item={"oneOf": inputs},
        parameters=schema.schema_of(Parameters),
        answer=schema.list_of(schema.closed(answer, optional=("details",)), minItems=1, maxItems=1),
        example=example,
        example_parameters={"max_new_tokens": 8, "min_new_tokens": 0},
    )


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[Input], bool]:
    """The texts or conversations of a request; a list of messages is one conversation."""
    if isinstance(inputs, list) and not _are_messages(inputs):
        if not inputs:
            raise InputError("'inputs' is an empty list: send at least one text or conversation")
        return [_read_input(one, f"inputs[{index}]", model) for index, one in enumerate(inputs)], True
    return [_read_input(inputs, "inputs", model)], False


def read_parameters(parameters: Mapping[str, object], model: ModelFile) -> Parameters:
    """A caller's parameters over what the bundle says."""
    return read_settings(parameters, read_options(Options, model).generation, model.task, Parameters)


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> "ContinuationEngine":
    """Load one variant."""
    return ContinuationEngine(folder, model, variant, capacity)


class Prompter:
    """Texts and conversations to token ids, in training and in serving."""

    def __init__(self, tokenizer: Path, cleaning: Cleaning, template: ChatTemplate | None) -> None:
        self.tokenizer = shared_tokenizer(tokenizer)
        self.cleaning, self.template = cleaning, template

    def ids(self, asked: Input) -> list[int]:
        """The tokens of a prompt; InputError for a conversation that the template refuses."""
        if isinstance(asked, str):
            return list(self.tokenizer.encode(clean(asked, self.cleaning)).ids)
        assert self.template is not None
        return self.plain_ids(self.template.prompt(self.cleaned(asked)))

    def plain_ids(self, text: str) -> list[int]:
        """The tokens of a text alone, without the special ones that a prompt begins with."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def cleaned(self, messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        """Messages with cleaned content."""
        return [{"role": one["role"], "content": clean(one["content"], self.cleaning)} for one in messages]


class ContinuationEngine:
    """One variant of a bundle: a decoder that goes on with its prompt."""

    def __init__(self, folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> None:
        self._options = read_options(Options, model)
        template = read_template(folder / FILE, self._options.special_tokens) if self._options.chat else None
        self.prompter = Prompter(folder / "tokenizer.json", model.cleaning, template)
        files, threads = (folder / model.variants[variant].file).parent, capacity.threads or available_cpus()
        graph = CausalGraph(files, context=self._options.context, threads=threads, provider=capacity.provider)
        self._writer = GenerationEngine(graph, self.prompter.tokenizer, model, variant, capacity)

    def prepare(
        self, inputs: Sequence[Input], parameters: Parameters, *, limit: TimeLimit | None = None
    ) -> list[Prompt]:
        """Tokenize; InputError for a prompt that leaves no room for an answer."""
        return [self._prompt(asked, index, parameters) for index, asked in enumerate(inputs)]

    def run(self, rows: Sequence[Prompt], *, limit: TimeLimit | None = None) -> list[Generated]:
        """What is written after each row."""
        return self._writer.write(rows, limit=limit)

    def answer(self, row: Prompt, output: Generated, parameters: Parameters) -> Answer:
        """What was added, as the pipeline cuts it out of the whole text, or all of it."""
        text = self._text([*row.ids, *output.ids], parameters)[len(self._text(row.ids, parameters)) :]
        whole: Answer = [{"generated_text": _whole(row.asked, text) if parameters.return_full_text else text}]
        if parameters.details:
            tokens = self._writer.tokens(output.ids, output.likelihoods, after=row.ids)
            whole[0]["details"] = _details(row, output, tokens)
        return whole

    def stream(self, row: Prompt, on_text: OnText, *, limit: TimeLimit | None = None) -> Finish:
        """What follows the prompt, piece by piece."""
        return self._writer.stream(row, on_text, after=row.ids, limit=limit)

    def outputs(self, inputs: Sequence[Input]) -> list[Array]:
        """Log-probabilities `[2, K]`; see `GenerationEngine.outputs`. Too long a prompt is cut."""
        prompts = [self.prompter.ids(asked)[: self._options.context - 1] for asked in inputs]
        return self._writer.outputs(prompts, self._options.generation)

    def scores(self, rows: Sequence[Sequence[int]], take: Callable[[int, Array], Taken]) -> list[Taken]:
        """What `take` keeps, given a row's number, of the scores `[T, V]` of what follows each token of a row."""
        return self._writer.scores(rows, self._writer.graph.scores, take)

    def close(self) -> None:
        """End the threads."""
        self._writer.close()

    def _prompt(self, asked: Input, index: int, parameters: Parameters) -> Prompt:
        context = self._options.context
        texts = [asked] if isinstance(asked, str) else [message["content"] for message in asked]
        if (characters := sum(map(len, texts))) > context * _CHARACTERS_PER_TOKEN:
            raise InputError(f"prompt {index} has {characters:,} characters, of which {context} tokens cannot be made")
        whole = self.prompter.ids(asked)
        ids = whole[-(parameters.truncate or len(whole)) :]
        if not ids:
            raise InputError(f"prompt {index} is empty: the model has no token to go on from")
        if len(ids) >= context:
            raise InputError(
                f"prompt {index} has {len(ids):,} tokens, which leaves no room for an answer: "
                f"together they may have {context:,}"
            )
        return Prompt(asked, ids, parameters, len(ids) < len(whole))

    def _text(self, ids: list[int], parameters: Parameters) -> str:
        text: str = self.prompter.tokenizer.decode(ids, skip_special_tokens=True)
        return without_spaces_before_punctuation(text) if parameters.clean_up_tokenization_spaces else text


def _whole(asked: Input, text: str) -> str | list[dict[str, str]]:
    """What was asked, gone on with."""
    if isinstance(asked, str):
        return asked + text
    *before, last = asked
    if last["role"] == "assistant":
        return [*before, {"role": last["role"], "content": last["content"] + text}]
    return [*asked, {"role": "assistant", "content": text}]


def _details(row: Prompt, output: Generated, tokens: Sequence[Token]) -> Details:
    """How an answer was written."""
    top = {"top_tokens": [[_told(one) for one in token.top] for token in tokens]} if row.top else {}
    return {
        "finish_reason": FINISH[output.finish],
        "generated_tokens": len(output.ids),
        "input_length": len(row.ids),
        "seed": row.settings.seed,
        "prefill": [],
        "tokens": [_told(token) for token in tokens],
        **top,
    }


def _told(token: Token) -> dict[str, object]:
    return {"id": token.id, "text": token.text, "logprob": token.logprob, "special": token.special}


def read_template(path: Path, special_tokens: Mapping[str, str]) -> ChatTemplate:
    """The chat template of a bundle; BundleError where it is missing or broken."""
    try:
        return ChatTemplate(path.read_text(encoding="utf-8"), special_tokens)
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read, but model.json says that there is a chat template") from error


def message_fault(messages: object) -> str | None:
    """What is wrong with the messages of a conversation, if anything."""
    if not isinstance(messages, list | tuple) or not messages:
        return 'is no list of messages such as [{"role": "user", "content": "..."}]'
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            return f'holds a message ({number} of {len(messages)}) that is not {{"role": ..., "content": ...}}'
        if message["role"] not in ROLES:
            return f"holds the role {shown(message['role'])} (message {number}); roles are {', '.join(ROLES)}"
        if not isinstance(message["content"], str) or not message["content"].strip():
            return f"holds a message without text ({number} of {len(messages)})"
    return None


def _are_messages(inputs: list[object]) -> bool:
    return bool(inputs) and all(isinstance(one, dict) and "role" in one for one in inputs)


def _read_input(value: object, place: str, model: ModelFile) -> Input:
    match value:
        case str(text):
            return text
        case {"text": str(text), **rest} if not rest:
            return text
        case list(messages):
            return _read_messages(messages, place, model)
        case {"messages": list(messages), **rest} if not rest:
            return _read_messages(messages, place, model)
    wanted = 'a string or {"text": ...}'
    if read_options(Options, model).chat:
        wanted += ', or messages [{"role": "user", "content": ...}]'
    raise InputError(f"{place} is {shown(value)}; this model reads {wanted}, or a list of such")


def _read_messages(messages: list[Any], place: str, model: ModelFile) -> Messages:
    if not read_options(Options, model).chat:
        raise InputError(f"{place} is a conversation, but this model has no chat template; send a text")
    fault = message_fault(messages)
    if fault:
        raise InputError(f"{place} {fault}")
    return tuple({"role": str(one["role"]), "content": str(one["content"])} for one in messages)
