"""A row that somebody shall label, with what a version says of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.tasks.token_classification import OUTSIDE, Options, Scheme, read_label

ROLES = {"single_label": "label", "multi_label": "labels", "entities": "tags", "tags": "tags"}
"""Problem to the column that holds what is to be found, which is also what tools call the question."""


@dataclass(frozen=True)
class Item:
    """One row."""

    texts: tuple[str, ...]
    """One text, or two; of a sentence its words."""
    predicted: tuple[str, ...]
    """The label, the labels that are there, or one tag for each word."""
    scores: tuple[float, ...]
    """How sure each of these is."""
    doubt: float
    """What it was chosen by."""


@dataclass(frozen=True)
class Question:
    """What is asked of all rows."""

    role: str
    """label, labels or tags."""
    labels: tuple[str, ...]
    """What the answer may be: labels, or kinds of entities."""
    version: str
    """Who predicted: reviews:7."""
    scheme: Scheme = "BIO"
    """How tags are spelt."""
    columns: tuple[str, ...] = ("text",)
    """The names of the texts."""


def question(model: ModelFile, version: str) -> Question:
    """What a version has learned to answer."""
    role = ROLES[model.problem]
    if role != "tags":
        columns = ("text", "text_pair") if model.pair else ("text",)
        return Question(role, tuple(model.labels), version, columns=columns)
    scheme = read_options(Options, model).scheme
    kinds = dict.fromkeys(read_label(label, scheme)[1] for label in model.labels if label != OUTSIDE)
    return Question(role, tuple(kinds), version, scheme, ("tokens",))


@dataclass(frozen=True)
class Entity:
    """Neighbouring words of one kind."""

    first: int
    end: int
    """The word after the last one."""
    kind: str


def entities(tags: Sequence[str], scheme: Scheme) -> Iterator[Entity]:
    """What tags mark; each word for itself where they are plain."""
    begun, before = 0, (OUTSIDE, "")
    read = [("", "") if tag == OUTSIDE else read_label(tag, scheme) for tag in tags]
    for place, (letter, kind) in enumerate([*read, ("", "")]):
        goes_on = kind == before[1] and letter not in ("B", "S") and before[0] not in ("E", "S") and scheme != "plain"
        if before[1] and not goes_on:
            yield Entity(begun, place, before[1])
        begun = begun if goes_on else place
        before = (letter, kind)


def tags(words: Sequence[tuple[int, int]], marked: Sequence[tuple[int, int, str]], scheme: Scheme) -> list[str]:
    """Tags of words by their characters, of what is marked from one character to another: all that a mark touches."""
    found = [OUTSIDE] * len(words)
    for start, end, kind in marked:
        inside = [place for place, (first, last) in enumerate(words) if first < end and last > start]
        for number, place in enumerate(inside):
            found[place] = _tag(kind, number, len(inside), scheme)
    return found


def _tag(kind: str, number: int, of: int, scheme: Scheme) -> str:
    if scheme == "plain":
        return kind
    if scheme == "BIOES" and number == of - 1:
        return f"{'S' if of == 1 else 'E'}-{kind}"
    return f"{'I' if number else 'B'}-{kind}"


def places(words: Sequence[str]) -> list[tuple[int, int]]:
    """The characters of each word where blanks stand between them."""
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    return [(start, after - 1) for start, after in pairwise(starts)]
