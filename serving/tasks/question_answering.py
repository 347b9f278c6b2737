"""Extractive question answering: start and end logits per token to the passage of the context that answers.

Spans are decoded as `transformers.pipeline("question-answering")` does. A context that is longer than a row is read in
overlapping windows, each behind the whole question.

Axes: T tokens of a row, C tokens of the context in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import BaseModel, ConfigDict, Field

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.engines.task import Shapes
from tunewright.serving.engines.text import TextEngine
from tunewright.serving.engines.windows import WindowEngine
from tunewright.serving.errors import InputError, ModelFault, shown
from tunewright.serving.request import schema
from tunewright.serving.request.parameters import check_parameters
from tunewright.serving.request.several import read_several
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.scores import scores
from tunewright.serving.runtime.session import Array
from tunewright.serving.text.alignment import Span
from tunewright.serving.text.spacing import UNSPACED
from tunewright.serving.text.windows import Cut, Windowed, Windower, trimmed

Input = tuple[str, str]
"""Question and context."""


class Answer(TypedDict):
    """A part of the context, and where it stands there."""

    score: float
    start: int
    end: int
    answer: str


_USUAL_STRIDE = 128


class Options(BaseModel):
    """What `model.json` says for this task alone: what holds when a caller says nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    handle_impossible_answer: bool = False
    """Whether "no answer" may be the answer; for models that were trained with unanswerable questions."""
    max_answer_len: int = Field(default=15, ge=1)
    """Longest answer in tokens."""


class Parameters(BaseModel):
    """What a caller may set."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    top_k: int = Field(default=1, ge=1)
    """Number of answers, best first; more than one are a list."""
    doc_stride: int | None = Field(default=None, ge=0)
    """Tokens that two neighbouring windows of a long context share; 128, or half of max_seq_len, when absent."""
    max_answer_len: int | None = Field(default=None, ge=1)
    """Longest answer in tokens."""
    max_seq_len: int | None = Field(default=None, ge=1)
    """Tokens of a window, question included; what the model was trained with when absent."""
    max_question_len: int | None = Field(default=None, ge=1)
    """Tokens after which a question is cut; half a window when absent."""
    handle_impossible_answer: bool | None = None
    """Whether the answer may be empty, which says that the context has none."""
    align_to_words: bool = True
    """Whether an answer is widened to whole words, in scripts that put spaces between them."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Checked parameters."""

    top_k: int
    max_answer_len: int
    no_answer: bool
    align_to_words: bool
    cut: Cut


@dataclass(frozen=True, slots=True)
class Best:
    """What one window answers."""

    spans: list[tuple[int, int, float]]
    """First token, last token and score, best first; token 0 is the first one of the context in this window."""
    null: float
    """The score of "no answer here"."""


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    place: schema.Schema = {"type": "integer", "minimum": 0}
    answer = schema.closed({"score": {"type": "number"}, "start": place, "end": place, "answer": schema.TEXT})
    return Shapes(
        item=schema.closed({"question": schema.TEXT, "context": schema.TEXT}),
        parameters=schema.schema_of(Parameters),
        answer={"anyOf": [answer, schema.list_of(answer)]},
        example={"question": "Where was Marie Curie born?", "context": "Marie Curie was born in Warsaw."},
    )


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[Input], bool]:
    """The questions of a request, each with its context."""
    return read_several(inputs, _read_input, "question with its context")


def _read_input(item: object, place: str) -> Input:
    match item:
        case {"question": str(question), "context": str(context), **rest} if not rest:
            for name, text in (("question", question), ("context", context)):
                if not text.strip():
                    raise InputError(f"{place}.{name} is {shown(text)}; send a text with words in it")
            return question, context
    raise InputError(
        f'{place} is {shown(item)}; this model reads {{"question": ..., "context": ...}}, or a list of such'
    )


def read_parameters(parameters: Mapping[str, object], model: ModelFile) -> Checked:
    """Check a caller's parameters."""
    read = check_parameters(Parameters, parameters, model.task)
    options = read_options(Options, model)
    most = model.max_length or 0
    if read.max_seq_len is not None and read.max_seq_len > most:
        raise InputError(f"parameter 'max_seq_len' is {read.max_seq_len}; this model reads at most {most} tokens")
    length = read.max_seq_len or most
    impossible = read.handle_impossible_answer
    return Checked(
        top_k=read.top_k,
        max_answer_len=read.max_answer_len or options.max_answer_len,
        no_answer=options.handle_impossible_answer if impossible is None else impossible,
        align_to_words=read.align_to_words,
        cut=replace(usual_cut(length), stride=read.doc_stride, max_first=read.max_question_len),
    )


def usual_cut(length: int) -> Cut:
    """How contexts are cut for rows of this many tokens when a caller says nothing, and in training."""
    return Cut(max_length=length, stride=None, usual_stride=min(_USUAL_STRIDE, length // 2))


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> WindowEngine[Input, Checked]:
    """Load one variant."""
    defaults = read_parameters({}, model)
    windower = Windower(folder / "tokenizer.json", model.cleaning)

    def cut(one: Input, checked: Checked) -> Windowed:
        row = windower.pair(*one, checked.cut)
        if not row.windows:
            raise InputError(f"the context {shown(one[1])} is empty: this model's tokenizer makes no token of it")
        return row

    return WindowEngine(TextEngine(folder, model, variant, capacity), cut=cut, answer=answer, defaults=defaults)


def answer(row: Windowed, outputs: Sequence[Array], checked: Checked) -> Answer | list[Answer]:
    """The best answer, or the list of the best where more than one is asked for. `outputs`: `[T, 2]` per window."""
    borders = _borders(row, align_to_words=checked.align_to_words)
    best: dict[str, Answer] = {}
    null = 1.0
    for window, output in zip(row.windows, outputs, strict=True):
        if output.ndim != 2 or output.shape[1] != 2:
            raise ModelFault(f"the graph answers with {output.shape} per row where a start and an end each are needed")
        found = best_spans(output, row, window.end - window.first, checked)
        null = min(null, found.null)
        # A window says how sure it is among its own tokens: two that share a passage do not make it twice as sure.
        for key, one in _texts(window.first, found, row, borders).items():
            if key not in best or one["score"] > best[key]["score"]:
                best[key] = one
    answers = list(best.values())
    if checked.no_answer or not answers:
        answers.append({"score": null, "start": 0, "end": 0, "answer": ""})
    answers = sorted(answers, key=lambda one: -one["score"])[: checked.top_k]
    return answers if checked.top_k > 1 else answers[0]


def best_spans(output_T2: Array, row: Windowed, tokens: int, checked: Checked) -> Best:
    """The most probable spans among the first `tokens` of the context in a window's start and end logits.

    The probability of a span is that of its start times that of its end; the question takes no part in either, the
    special token at the beginning does: it stands for "no answer".
    """
    context = slice(row.lead, row.lead + tokens)
    allowed = np.concatenate([output_T2[:1], output_T2[context]]) if row.special_first else output_T2[context]
    probabilities = scores(allowed.T, "softmax")
    null = float(np.prod(probabilities[:, 0])) if row.special_first else 0.0
    start_C, end_C = probabilities[:, int(row.special_first) :]
    longest = min(checked.max_answer_len, tokens)
    # Row i holds the ends i, i + 1, ...: those behind the last token have no probability.
    ends = sliding_window_view(np.pad(end_C, (0, longest - 1)), longest)
    candidates = (start_C[:, None] * ends).ravel()
    # Widening to words makes one answer of several spans.
    most = min(2 * checked.top_k + 10 if checked.align_to_words else checked.top_k, len(candidates))
    chosen = np.argpartition(-candidates, most - 1)[:most]
    chosen = chosen[np.argsort(-candidates[chosen], kind="stable")]
    places = [divmod(int(place), longest) for place in chosen if candidates[place] > 0]
    spans = [(start, start + more, float(candidates[start * longest + more])) for start, more in places]
    return Best(spans, null)


def _texts(first: int, best: Best, row: Windowed, borders: Sequence[Span]) -> dict[str, Answer]:
    """Answers of one window by their text without case; spans of one text add up."""
    found: dict[str, Answer] = {}
    for start_token, end_token, score in best.spans:
        first_token, last_token = borders[first + start_token][0], borders[first + end_token][1]
        start, end = trimmed(row.text, row.tokens[first_token].start, row.tokens[last_token].end)
        text = row.text[start:end]
        if text.lower() in found:
            found[text.lower()]["score"] += score
        elif text:
            found[text.lower()] = {"score": score, "start": start, "end": end, "answer": text}
    return found


def _borders(row: Windowed, *, align_to_words: bool) -> list[Span]:
    """Per token the first and the last token of what an answer widens to: its word, or itself."""
    words: list[list[int]] = []
    word_before = None
    for index, token in enumerate(row.tokens):
        # What a tokenizer takes for a word may be a whole sentence in a script without spaces.
        whole = align_to_words and not UNSPACED.search(row.text, token.start, token.end)
        word = token.word if whole else None
        if word is not None and word == word_before:
            words[-1].append(index)
        else:
            words.append([index])
        word_before = word
    return [(members[0], members[-1]) for members in words for _ in members]
