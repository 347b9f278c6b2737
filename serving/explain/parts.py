"""What of an input is shown or hidden together: words, or runs of words where there are many."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunewright.serving.explain.subject import Told
from tunewright.serving.text.encoding import Place
from tunewright.serving.text.spacing import UNSPACED
from tunewright.serving.text.windows import trimmed

_APOSTROPHES = "'’"


@dataclass(frozen=True, slots=True)
class Word:
    """Tokens of a row that stand for one word of a text."""

    place: Place
    tokens: tuple[int, ...]
    """Their numbers in the row."""


def words_of(texts: Sequence[str], places: Sequence[Place | None]) -> list[Word]:
    """The words that the tokens at these places make, in their order. `texts`: as they were sent."""
    words: list[Word] = []
    for number, place in enumerate(places):
        if place is None:
            continue
        start, end = trimmed(texts[place.text], place.start, place.end)
        last = words[-1] if words else None
        if last and last.place.text == place.text and _goes_on(texts[place.text], last.place, start, end):
            reaches = max(last.place.end, end) if start < end else last.place.end
            words[-1] = Word(Place(place.text, last.place.start, reaches), (*last.tokens, number))
        else:
            words.append(Word(Place(place.text, start, end), (number,)))
    return words


def joined(words: Sequence[Word], most: int) -> list[Word]:
    """At most so many parts: neighbouring words of one text together, evenly."""
    if len(words) <= most:
        return list(words)
    size = -(-len(words) // most)
    while len(found := list(_runs(words, size))) > most and size < len(words):
        size += 1
    return found


def _runs(words: Sequence[Word], size: int) -> Iterator[Word]:
    for text in sorted({word.place.text for word in words}):
        own = [word for word in words if word.place.text == text]
        for start in range(0, len(own), size):
            run = own[start : start + size]
            tokens = tuple(token for word in run for token in word.tokens)
            yield Word(Place(text, run[0].place.start, run[-1].place.end), tokens)


def _goes_on(text: str, before: Place, start: int, end: int) -> bool:
    """Whether a token belongs to the word before it."""
    if start < before.end or start == end:  # pieces of one character, and tokens of nothing
        return True
    return start == before.end and _inside_word(text, start)


def _inside_word(text: str, index: int) -> bool:
    """Whether no word ends before this character."""
    around = text[index - 1 : index + 1]
    if UNSPACED.search(around):
        return unicodedata.category(text[index]).startswith("M")
    if all(map(_of_word, around)):
        return True
    # An apostrophe between letters: don't.
    inner = text[max(index - 2, 0) : index + 2]
    for place, character in enumerate(inner[1:-1], 1):
        if character in _APOSTROPHES and _of_word(inner[place - 1]) and _of_word(inner[place + 1]):
            return index in (max(index - 2, 0) + place, max(index - 2, 0) + place + 1)
    return not any(map(_of_word, around)) and not any(map(str.isspace, around))


def _of_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


def told_words(words: Sequence[Word], texts: Sequence[str], fields: Sequence[str] = ()) -> list[Told]:
    """The parts as a caller is told of them. `fields`: the names of the texts, where there are several."""
    told: list[Told] = []
    for word in words:
        place, text = word.place, texts[word.place.text][word.place.start : word.place.end]
        named = {"field": fields[place.text]} if fields else {}
        told.append({**named, "text": text, "start": place.start, "end": place.end})
    return told
