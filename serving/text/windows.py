"""Long texts as overlapping windows of tokens, every token with its place in the text that the caller sent.

Axes: T tokens of a window's row, with special tokens and whatever stands before the text; S tokens of the text.
"""

import string
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from tunewright.serving.errors import InputError
from tunewright.serving.runtime.session import Array
from tunewright.serving.text.alignment import Aligned, Span, align
from tunewright.serving.text.cleaning import Cleaning
from tunewright.serving.text.encoding import Encoded, panics_told, shared_tokenizer
from tunewright.serving.text.spacing import UNSPACED

_NO_VOCABULARY_HAS = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text."""

    text: str
    """As the vocabulary spells it."""
    start: int
    """Its first character in the text as the caller sent it."""
    end: int
    """The character after its last one."""
    word: int | None
    """Number of its word as the tokenizer splits, or of the caller's word where words were sent."""
    opens_word: bool
    """Whether a word begins with it."""
    unknown: bool
    """Whether it stands for something that the vocabulary does not have."""


@dataclass(frozen=True, slots=True)
class Window:
    """A row of the model with the tokens `first` to `end` of the text in it."""

    row: Encoded
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Windowed:
    """A text cut into windows."""

    text: str
    """As the caller sent it; words sent as a list are joined with spaces."""
    tokens: list[Token]
    """The S tokens of the text, without special ones."""
    windows: list[Window]
    """In the order of the text; none for a text without tokens."""
    lead: int
    """Tokens of each row that stand before the text's."""
    special_first: bool
    """Whether each row begins with a special token ([CLS], <s>)."""
    truncated: bool
    """Whether the first text of a pair was cut."""
    words: list[Span] | None = None
    """Where each of the caller's words stands in `text`; None where the caller sent no words."""

    def merged(self, outputs: Sequence[Array]) -> Array:
        """One output per token `[S, ...]` of one array `[T, ...]` per window.

        A token that two windows hold is taken from the one in which it stands farther from an edge: there it was read
        with more context.
        """
        middles = [(right.first + left.end) // 2 for left, right in pairwise(self.windows)]
        bounds = pairwise([0, *middles, len(self.tokens)])
        shifts = [self.lead - window.first for window in self.windows]
        parts = zip(outputs, shifts, bounds, strict=True)
        return np.concatenate([output[shift + start : shift + end] for output, shift, (start, end) in parts])


@dataclass(frozen=True, slots=True)
class Cut:
    """How texts are cut."""

    max_length: int
    """Tokens of a row at most."""
    stride: int | None
    """Tokens that two neighbouring windows share; None: `usual_stride`, or less where a row has no room for that."""
    usual_stride: int
    max_first: int | None = None
    """Tokens of the first text of a pair at most; None: half of those a row has for texts."""


class Windower:
    """A `tokenizer.json` that leaves nothing out."""

    def __init__(self, tokenizer: Path, cleaning: Cleaning) -> None:
        self._cleaning = cleaning
        self._tokenizer = shared_tokenizer(tokenizer)
        self._marks_subwords = bool(getattr(self._tokenizer.model, "continuing_subword_prefix", None))
        self._unknown = _unknown_id(self._tokenizer)

    def text(self, text: str, cut: Cut) -> Windowed:
        """Windows over a text; InputError for a stride that leaves a window too little that is new."""
        aligned = align(text, self._cleaning)
        encoding = self._encoded(aligned.text)
        return _windowed(text, encoding, self._tokens(encoding, 0, aligned), cut)

    def words(self, words: Sequence[str], cut: Cut) -> Windowed:
        """Windows over words that the caller has told apart; offsets are those in `" ".join(words)`."""
        aligned = [align(word, self._cleaning) for word in words]
        # A tokenizer may know the beginning of a word by the space before it; an empty word has no tokens.
        spaces = [int(number > 0 and bool(word.text)) for number, word in enumerate(aligned)]
        encoding = self._encoded([" " * space + word.text for space, word in zip(spaces, aligned, strict=True)])
        starts = accumulate((len(word) + 1 for word in words), initial=0)
        places = [(start, start + len(word)) for start, word in zip(starts, words, strict=False)]
        tokens: list[Token] = []
        for id_, text, (start, end), word in _parts(encoding, 0):
            assert word is not None  # each token of words that were told apart is of one of them
            span = aligned[word].span(max(0, start - spaces[word]), max(0, end - spaces[word]))
            opens = not tokens or word != tokens[-1].word
            first = places[word][0]
            tokens.append(Token(text, first + span[0], first + span[1], word, opens, id_ == self._unknown))
        return replace(_windowed(" ".join(words), encoding, tokens, cut), words=places)

    def pair(self, first: str, second: str, cut: Cut) -> Windowed:
        """Windows over the second text, each behind the first text; only the first one can be truncated."""
        aligned = align(second, self._cleaning)
        encoding = self._encoded(align(first, self._cleaning).text, aligned.text)
        return _windowed(second, encoding, self._tokens(encoding, 1, aligned), cut, sequence=1)

    def _encoded(self, first: str | list[str], second: str | None = None) -> Encoding:
        with panics_told():
            return self._tokenizer.encode(first, second, is_pretokenized=isinstance(first, list))

    def _tokens(self, encoding: Encoding, sequence: int, aligned: Aligned) -> list[Token]:
        tokens: list[Token] = []
        end_before, word_before, blank_before = 0, None, False
        for id_, text, (start, end), word in _parts(encoding, sequence):
            unknown = id_ == self._unknown
            if self._marks_subwords:
                opens = word is None or word != word_before
            elif blank_before or start < end_before:
                # A space that is a token of its own belongs to the word behind it; pieces of a character overlap.
                opens = not tokens
            else:
                opens = not tokens or unknown or _is_border(aligned.text, start)
            tokens.append(Token(text, *aligned.span(start, end), word, opens, unknown))
            end_before, word_before = end, word
            blank_before = not aligned.text[start:end].strip()
        return tokens


def _parts(encoding: Encoding, sequence: int) -> Iterator[tuple[int, str, Span, int | None]]:
    """Id, spelling, offsets and word of each token of one of the sequences."""
    columns = zip(
        encoding.sequence_ids, encoding.ids, encoding.tokens, encoding.offsets, encoding.word_ids, strict=True
    )
    return ((id_, text, span, word) for found, id_, text, span, word in columns if found == sequence)


def trimmed(text: str, start: int, end: int) -> Span:
    """A span without the white space at its ends, which some tokenizers count to the next word."""
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())


def _is_border(text: str, index: int) -> bool:
    """Whether a word ends or begins at a character: at white space, at punctuation, in a script without spaces."""
    around = text[max(0, index - 1) : index + 1]
    return index == 0 or any(map(_stands_alone, around))


def _stands_alone(character: str) -> bool:
    return (
        character.isspace()
        or character in string.punctuation
        or unicodedata.category(character).startswith("P")
        or UNSPACED.match(character) is not None
    )


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id of what the vocabulary does not have; None where it can spell everything."""
    try:
        found = tokenizer.model.tokenize(_NO_VOCABULARY_HAS)
    except Exception:  # so the library says that the model has no token for it
        return None
    return found[0].id if len(found) == 1 else None


def _windowed(text: str, encoding: Encoding, tokens: list[Token], cut: Cut, *, sequence: int = 0) -> Windowed:
    ids, type_ids, places = encoding.ids, encoding.type_ids, encoding.sequence_ids
    around = [index for index, place in enumerate(places) if place != sequence]
    special = places.count(None)
    max_first = (cut.max_length - special) // 2 if cut.max_first is None else cut.max_first
    kept = around if sequence == 0 else _without_end_of_first(around, places, max_first)
    truncated = len(kept) < len(around)
    if not tokens:
        return Windowed(text, tokens, [], 0, special_first=False, truncated=truncated)
    first = places.index(sequence)
    before, after = [index for index in kept if index < first], [index for index in kept if index > first]
    windows = []
    for start, end in _ranges(len(tokens), cut.max_length - len(kept), cut):
        row = [*before, *range(first + start, first + end), *after]
        encoded = Encoded([ids[index] for index in row], [type_ids[index] for index in row], truncated)
        windows.append(Window(encoded, start, end))
    return Windowed(text, tokens, windows, len(before), special_first=places[0] is None, truncated=truncated)


def _without_end_of_first(around: list[int], places: list[int | None], most: int) -> list[int]:
    question = [index for index in around if places[index] is not None]
    left_out = set(question[most:])
    return [index for index in around if index not in left_out]


def _ranges(tokens: int, room: int, cut: Cut) -> Iterator[Span]:
    """First token and the one after the last, of each window."""
    # Each window brings at least a quarter of new tokens: the cost of a text stays in proportion to its length.
    most = room * 3 // 4
    stride = min(cut.usual_stride, most) if cut.stride is None else cut.stride
    if room < 1:
        raise InputError(
            f"rows of {cut.max_length} tokens have no room for the text beside the {cut.max_length - room}"
        )
    if stride > most:
        raise InputError(f"the stride is {stride} tokens; windows with room for {room} can share at most {most}")
    for start in range(0, tokens, room - stride):
        end = min(start + room, tokens)
        yield start, end
        if end == tokens:
            break
