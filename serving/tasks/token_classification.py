"""Token classification, answered: logits per token to the entities of a text, with their characters.

The strategies are those of `transformers.pipeline("token-classification")`. A text that is longer than a row is read
in overlapping windows, and each of its tokens counts once.

Axes: S tokens of a text, L labels.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.engines.task import Shapes
from tunewright.serving.engines.text import TextEngine
from tunewright.serving.engines.windows import WindowEngine
from tunewright.serving.errors import BundleError, InputError, shown
from tunewright.serving.request import schema
from tunewright.serving.request.parameters import check_parameters
from tunewright.serving.request.several import read_several
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.scores import scores
from tunewright.serving.runtime.session import Array
from tunewright.serving.text.alignment import Span
from tunewright.serving.text.windows import Cut, Token, Windowed, Windower, trimmed

Input = str | list[str]
"""A text, or its words."""

Scheme = Literal["BIO", "BIOES", "plain"]
Strategy = Literal["none", "simple", "first", "average", "max"]

Entity = dict[str, str | float | int]

OUTSIDE = "O"
"""The label of what is no entity."""


class Options(BaseModel):
    """What `model.json` says for this task alone."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    scheme: Scheme = "BIO"
    """How labels are spelt: B-/I- before the kind of entity, B-/I-/E-/S-, or one plain tag a word (parts of speech)."""
    aggregation_strategy: Strategy = "first"
    """What holds when a caller names none. Training puts the loss on the first token of each word, so that is the one
    whose label was learnt and measured."""


class Parameters(BaseModel):
    """What a caller may set."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    aggregation_strategy: Strategy | None = None
    """How tokens become entities. none: each token alone; simple: neighbours of one kind together; first, average,
    max: the same, after each word has taken the label of its first token, of the average of its tokens or of the token
    that is most certain."""
    ignore_labels: list[str] = [OUTSIDE]
    """Labels (none) or kinds of entities (all others) that are left out of the answer."""
    stride: int | None = Field(default=None, ge=0)
    """Tokens that two neighbouring windows of a long text share; a quarter of a window when absent."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Checked parameters."""

    strategy: Strategy
    ignored: frozenset[str]
    stride: int | None


@dataclass(frozen=True, slots=True)
class Unit:
    """A token or a word, with its label."""

    index: int
    """The token's number in its row, or the word's number where words were sent."""
    name: str
    """The token as the vocabulary spells it, or the word."""
    start: int
    end: int
    label: str
    score: float


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    text: schema.Schema = schema.TEXT
    place: schema.Schema = {"type": "integer", "minimum": 0}
    entity = {
        "entity_group": {**text, "description": "The kind of entity."},
        "entity": {**text, "description": "The label of the token; with strategy none."},
        "index": {**place, "description": "The number of the token; with strategy none."},
        "score": {"type": "number"},
        "word": {**text, "description": "The characters from start to end; the token with strategy none."},
        "start": {**place, "description": "First character in the text as it was sent."},
        "end": {**place, "description": "The character after the last one."},
    }
    words = schema.closed({"tokens": schema.list_of(text)})
    return Shapes(
        item={"oneOf": [text, schema.closed({"text": text}), words]},
        parameters=schema.schema_of(Parameters),
        answer=schema.list_of(schema.closed(entity, optional=("entity_group", "entity", "index"))),
        example="Marie Curie was born in Warsaw.",
    )


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[Input], bool]:
    """The texts of a request, or their words: `{"tokens": [...]}`."""
    return read_several(inputs, _read_input, "text")


def _read_input(item: object, place: str) -> Input:
    match item:
        case str():
            return item
        case {"text": str(text), **rest} if not rest:
            return text
        case {"tokens": [*words], **rest} if not rest and all(isinstance(word, str) for word in words):
            return [str(word) for word in words]
    raise InputError(
        f'{place} is {shown(item)}; this model reads a string, {{"text": ...}}, {{"tokens": ["...", ...]}}, '
        "or a list of such"
    )


def read_parameters(parameters: Mapping[str, object], model: ModelFile) -> Checked:
    """Check a caller's parameters."""
    read = check_parameters(Parameters, parameters, model.task)
    strategy = read.aggregation_strategy or read_options(Options, model).aggregation_strategy
    known = model.labels if strategy == "none" else _kinds(model)
    for label in read.ignore_labels:
        if label not in known and label != OUTSIDE:
            raise InputError(
                f"parameter 'ignore_labels' has {shown(label)}; with the strategy {strategy} this model's are: "
                + ", ".join(known)
            )
    return Checked(strategy, frozenset(read.ignore_labels), read.stride)


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> WindowEngine[Input, Checked]:
    """Load one variant."""
    if not model.labels:
        raise BundleError(f"model.json of {folder} names no labels, which {model.task} needs")
    scheme, temperature = read_options(Options, model).scheme, model.variants[variant].temperature
    text = TextEngine(folder, model, variant, capacity)
    windower = Windower(folder / "tokenizer.json", model.cleaning)
    length = text.encoder.max_length

    def cut(one: Input, checked: Checked) -> Windowed:
        how = Cut(max_length=length, stride=checked.stride, usual_stride=length // 4)
        return windower.text(one, how) if isinstance(one, str) else windower.words(one, how)

    def answer(row: Windowed, outputs: list[Array], checked: Checked) -> list[Entity]:
        if not outputs:
            return []
        found = scores(row.merged(outputs), "softmax", temperature)
        return entities(row, found, labels=model.labels, scheme=scheme, checked=checked)

    return WindowEngine(text, cut=cut, answer=answer, defaults=read_parameters({}, model))


def entities(
    row: Windowed, scores_SL: Array, *, labels: Sequence[str], scheme: Scheme, checked: Checked
) -> list[Entity]:
    """The answer for a text whose tokens have these probabilities.

    Strategy none: `{entity, score, index, word, start, end}` per token, or per word where words were sent. Otherwise
    `{entity_group, score, word, start, end}`, the score being the mean over its tokens or words.
    """
    units = _units(row, scores_SL, labels, checked.strategy)
    if checked.strategy == "none":
        return [_entity(unit) for unit in units if unit.label not in checked.ignored]
    merge_plain = checked.strategy == "simple"
    groups = (_group(row.text, members, scheme) for members in _members(units, scheme, merge_plain=merge_plain))
    return [group for group in groups if group["word"] and group["entity_group"] not in checked.ignored]


def _units(row: Windowed, scores_SL: Array, labels: Sequence[str], strategy: Strategy) -> Iterator[Unit]:
    by_word = row.words is not None or strategy not in ("none", "simple")
    for first, end in _ranges(row.tokens, by_word=by_word):
        of_word = _scores_of_word(scores_SL[first:end], strategy)
        best = int(of_word.argmax())
        index, name, span = _name(row, first, end)
        yield Unit(index, name, *span, labels[best], float(of_word[best]))


def _ranges(tokens: Sequence[Token], *, by_word: bool) -> Iterator[Span]:
    """The first token and the one after the last, of each word or of each token."""
    starts = [index for index, token in enumerate(tokens) if token.opens_word or not by_word]
    return pairwise([*starts, len(tokens)])


def _scores_of_word(scores_TL: Array, strategy: Strategy) -> Array:
    """The scores `[L]` of the word that these T tokens make."""
    if strategy == "average":
        return np.asarray(scores_TL.mean(axis=0))
    chosen = int(scores_TL.max(axis=1).argmax()) if strategy == "max" else 0
    return np.asarray(scores_TL[chosen])


def _name(row: Windowed, first: int, end: int) -> tuple[int, str, Span]:
    token = row.tokens[first]
    if row.words is not None and token.word is not None:
        start, stop = row.words[token.word]
        return token.word, row.text[start:stop], (start, stop)
    span = token.start, row.tokens[end - 1].end
    return row.lead + first, row.text[slice(*span)] if token.unknown else token.text, span


def _members(units: Iterable[Unit], scheme: Scheme, *, merge_plain: bool) -> Iterator[list[Unit]]:
    """Neighbours that are one entity. Two plain tags are two words, unless tokens are merged."""
    group: list[Unit] = []
    last = ("", "")
    for unit in units:
        tag = read_label(unit.label, scheme)
        goes_on = tag[1] == last[1] and tag[0] not in "BS" and last[0] not in "ES"
        if group and not (goes_on and (merge_plain or scheme != "plain")):
            yield group
            group = []
        group.append(unit)
        last = tag
    if group:
        yield group


def read_label(label: str, scheme: Scheme) -> tuple[str, str]:
    """The letter that places a token in its entity (I where the label has none), and the kind of entity."""
    letters = {"BIO": ("B-", "I-"), "BIOES": ("B-", "I-", "E-", "S-"), "plain": ()}[scheme]
    return (label[0], label[2:]) if label.startswith(letters) else ("I", label)


def _kinds(model: ModelFile) -> list[str]:
    scheme = read_options(Options, model).scheme
    return list(dict.fromkeys(read_label(label, scheme)[1] for label in model.labels))


def _entity(unit: Unit) -> Entity:
    return {
        "entity": unit.label,
        "score": unit.score,
        "index": unit.index,
        "word": unit.name,
        "start": unit.start,
        "end": unit.end,
    }


def _group(text: str, members: Sequence[Unit], scheme: Scheme) -> Entity:
    start, end = trimmed(text, members[0].start, members[-1].end)
    return {
        "entity_group": read_label(members[0].label, scheme)[1],
        "score": float(np.mean([unit.score for unit in members])),
        "word": text[start:end],
        "start": start,
        "end": end,
    }
