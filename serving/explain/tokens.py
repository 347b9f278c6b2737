"""Texts that are answered per token: why these words are an entity, why this passage is the answer.

A text that is longer than a row is read in windows; what was found in a window is explained by the words in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from tunewright.serving.errors import InputError, shown
from tunewright.serving.explain.parts import joined, told_words, words_of
from tunewright.serving.explain.shapley import Numbers, Sets
from tunewright.serving.explain.subject import Answered, Asked, Subject, Told
from tunewright.serving.explain.texts import Hidden, hidden_tokens
from tunewright.serving.runtime.scores import scores
from tunewright.serving.runtime.session import Array
from tunewright.serving.tasks.token_classification import OUTSIDE
from tunewright.serving.text.encoding import Encoded, Encoder, Place
from tunewright.serving.text.windows import Windowed


@dataclass(frozen=True, slots=True)
class Found:
    """Something that a window was answered with."""

    told: Told
    window: int
    value: Callable[[Array], float]
    """What the model gave for the tokens of the window's row to the score."""


def entities_subject(answered: Answered, asked: Asked) -> list[Subject]:
    """The entities of a text, all of them or those of the kind asked for."""
    row: Windowed = answered.row
    labels = answered.predictor.model.labels
    kinds = kinds_of(labels)
    if asked.target is not None and asked.target not in kinds:
        raise InputError(f"parameter 'target' is {shown(asked.target)}; this model's entities are: {', '.join(kinds)}")
    parameters = answered.parameters
    temperature = answered.predictor.temperature
    checked = replace(parameters, strategy="first") if parameters.strategy == "none" else parameters
    entities: Any = answered.predictor.engine.answer(row, answered.output, checked)
    wanted = [entity for entity in entities if asked.target in (None, entity["entity_group"])]
    return _subjects(
        answered, [_entity(row, answered.output, entity, temperature) for entity in wanted], asked, question=None
    )


def passage_subject(answered: Answered, asked: Asked) -> list[Subject]:
    """The passage of a context that answers a question, by the words of both."""
    if asked.target is not None:
        raise InputError(f"parameter 'target' is {shown(asked.target)}; what is explained is the answer: leave it out")
    row: Windowed = answered.row
    best: Any = answered.predictor.engine.answer(row, answered.output, replace(answered.parameters, top_k=1))
    return _subjects(answered, [_passage(row, answered.output, best)], asked, question=answered.input[0])


def kinds_of(labels: Sequence[str]) -> list[str]:
    """The kinds of entities that a tagger's labels are spelt of, in their order."""
    kinds = dict.fromkeys(label[2:] if label[:2] in ("B-", "I-", "E-", "S-") else label for label in labels)
    return [kind for kind in kinds if kind != OUTSIDE]


def _entity(row: Windowed, outputs: Sequence[Array], entity: dict[str, Any], temperature: float) -> Found:
    """The score of an entity: how probable its labels are on the first tokens of its words, on average."""
    inside = [number for number, token in enumerate(row.tokens) if entity["start"] <= token.start < entity["end"]]
    tokens = [number for number in inside if row.tokens[number].opens_word] or inside
    window = _window_of(row, tokens[0])
    first, end = row.windows[window].first, row.windows[window].end
    places = [row.lead + number - first for number in tokens if number < end]
    chosen = scores(outputs[window], "softmax", temperature)[places].argmax(axis=1)

    def value(output_TL: Array) -> float:
        return float(scores(output_TL[places], "softmax", temperature)[np.arange(len(places)), chosen].mean())

    told = {"target": entity["entity_group"], "word": entity["word"], "start": entity["start"], "end": entity["end"]}
    return Found(told, window, value)


def _window_of(row: Windowed, token: int) -> int:
    """The window from which the answer took a token."""
    middles = [(right.first + left.end) // 2 for left, right in pairwise(row.windows)]
    return int(np.searchsorted(middles, token, side="right"))


def _passage(row: Windowed, outputs: Sequence[Array], answer: Any) -> Found:
    """The score of a passage: that it begins with its first word and ends with its last."""
    if not answer["answer"]:
        spans = [([0], [0])] * len(row.windows)
    else:
        spans = [_ends(row, number, answer) for number in range(len(row.windows))]
    values = [_span_score(row, number, *span) for number, span in enumerate(spans)]
    window = max(range(len(values)), key=lambda number: values[number](outputs[number]))
    told = {"target": answer["answer"], "start": answer["start"], "end": answer["end"]}
    return Found(told, window, values[window])


def _ends(row: Windowed, window: int, answer: Any) -> tuple[list[int], list[int]]:
    """The places in a window's row of the tokens of the first and of the last word of an answer."""
    first, end = row.windows[window].first, row.windows[window].end
    inside = [
        number for number in range(first, end)
        if answer["start"] <= row.tokens[number].start < answer["end"]
    ]  # fmt: skip
    opening = [number for number in inside if row.tokens[number].opens_word] or inside[:1]
    if not inside:
        return [], []
    second = opening[1] if len(opening) > 1 else inside[-1] + 1
    firsts = [row.lead + number - first for number in inside if number < second]
    lasts = [row.lead + number - first for number in inside if number >= opening[-1]]
    return firsts, lasts


def _span_score(row: Windowed, window: int, starts: list[int], ends: list[int]) -> Callable[[Array], float]:
    """The probability of a span that begins and ends at one of these places, as the task tells probabilities."""
    first, end = row.windows[window].first, row.windows[window].end
    allowed = [0] * row.special_first + list(range(row.lead, row.lead + end - first))
    places = {place: number for number, place in enumerate(allowed)}

    def value(output_T2: Array) -> float:
        start_A, end_A = scores(output_T2[allowed].T, "softmax")
        ways = [(one, other) for one in starts for other in ends if other >= one and {one, other} <= set(places)]
        return float(sum(start_A[places[one]] * end_A[places[other]] for one, other in ways))

    return value


def _subjects(answered: Answered, found: Sequence[Found], asked: Asked, *, question: str | None) -> list[Subject]:
    """What was found, window by window: everything in one window rests on the same rows."""
    windows = sorted({one.window for one in found})
    share = replace(asked, budget=asked.budget // max(len(windows), 1))
    return [
        _of_window(answered, [one for one in found if one.window == window], share.most_parts, question)
        for window in windows
    ]


def _of_window(answered: Answered, found: Sequence[Found], most: int, question: str | None) -> Subject:
    row: Windowed = answered.row
    encoder: Encoder = answered.predictor.engine.text.encoder  # type: ignore[attr-defined]  # a WindowEngine
    window, output = row.windows[found[0].window], answered.output[found[0].window]
    places: list[Place | None] = [None] * len(window.row)
    if question is not None:
        places[: row.lead] = _places_of_question(encoder, question, window.row, row.lead)
    for number in range(window.first, window.end):
        token = row.tokens[number]
        places[row.lead + number - window.first] = Place(int(question is not None), token.start, token.end)
    texts = (row.text,) if question is None else (question, row.text)
    words = joined(words_of(texts, places), most)
    hide = Hidden(encoder, keep_places=True)

    def masked(shown_N: Sets) -> Windowed:
        return replace(row, windows=[replace(window, row=hide(window.row, hidden_tokens(words, shown_N)))])

    def values(outputs: Sequence[Array]) -> Numbers:
        return np.array([one.value(outputs[0]) for one in found])

    parts = told_words(words, texts, ("question", "context") if question is not None else ())
    return Subject(parts, [one.told for one in found], values([output]), masked, values, are_shares=True)


def _places_of_question(encoder: Encoder, question: str, row: Encoded, lead: int) -> list[Place | None]:
    """Where the tokens before a context stand in the question; nowhere if the row does not begin as it does alone."""
    (alone,) = encoder.encode([question])
    places = encoder.places(question)
    read = next((at for at, place in enumerate(places) if place is not None), 0)
    while read < min(lead, len(places)) and places[read] is not None and alone.ids[read] == row.ids[read]:
        read += 1
    return [place if number < read else None for number, place in enumerate(places[:lead])] + [None] * (
        lead - min(lead, len(places))
    )
