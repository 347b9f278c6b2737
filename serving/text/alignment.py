"""Where each character of a cleaned text stands in the text that a caller sent."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tunewright.serving.text.cleaning import Cleaning, clean

Span = tuple[int, int]
"""First character, and the one after the last."""

_NOTHING = Cleaning(html=False, nfc=False, control=False, whitespace=False)
_HTML, _CONTROL, _NFC, _WHITESPACE = (
    _NOTHING.model_copy(update={step: True}) for step in ("html", "control", "nfc", "whitespace")
)
_AROUND_ASCII = re.compile(r"[\x00-\x7f]?[^\x00-\x7f]*")
"""An ASCII character never joins the one before it, so composing stays inside such a piece."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """A cleaned text whose characters know what they were made of."""

    text: str
    """What `clean` makes of the source."""
    _spans: list[Span] | None
    """Per character of `text` its characters of the source; None: the source was clean."""

    def span(self, start: int, end: int) -> Span:
        """The part of the source that the characters `start` to `end` of `text` were made of."""
        if self._spans is None or not self._spans:
            return start, end
        if start < end:
            return self._spans[start][0], self._spans[end - 1][1]
        place = self._spans[start][0] if start < len(self._spans) else self._spans[-1][1]
        return place, place


def align(source: str, steps: Cleaning) -> Aligned:
    """Clean a text and remember what its characters were made of."""
    if clean(source, steps) == source:
        return Aligned(source, None)
    # A lone surrogate becomes U+FFFD whatever the steps: one character for one.
    text = clean(source, _NOTHING)
    spans = [(index, index + 1) for index in range(len(source))]
    for name, (step, pieces, cleaned) in _STEPS.items():
        if getattr(steps, name) and clean(text, step) != text:
            text, spans = _stepped(pieces(text), cleaned, spans)
    if steps.whitespace:
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        text, spans = text[start:end], spans[start:end]
    return Aligned(text, spans)


def _stepped(pieces: Iterable[str], cleaned: Callable[[str], str], spans: list[Span]) -> tuple[str, list[Span]]:
    """One step, taken piece by piece: what comes of a piece was made of that piece."""
    done: list[str] = []
    found: list[Span] = []
    position = 0
    for piece in pieces:
        after = cleaned(piece)
        done.append(after)
        found += _spans_of(piece, after, spans[position : position + len(piece)])
        position += len(piece)
    return "".join(done), found


def _spans_of(piece: str, after: str, spans: list[Span]) -> list[Span]:
    """Characters at the end of a piece that did not change keep their span; the others share all the rest."""
    same = 0
    while same < min(len(piece), len(after)) and piece[-1 - same] == after[-1 - same]:
        same += 1
    changed, kept = spans[: len(spans) - same], spans[len(spans) - same :]
    made = len(after) - same
    return [(changed[0][0], changed[-1][1])] * made + kept if made else kept


def _entities(text: str) -> Iterator[str]:
    """Each `&` begins a piece: no HTML entity holds a second one."""
    first, *others = text.split("&")
    yield first
    yield from ("&" + other for other in others)


def _clusters(text: str) -> Iterator[str]:
    """Pieces that are composed independently of each other: a letter with its marks, or a Hangul syllable."""
    for piece in _AROUND_ASCII.findall(text):
        if unicodedata.is_normalized("NFC", piece):
            yield piece
            continue
        cluster = ""
        for letter in _letters(piece):
            if cluster and _composed(cluster + letter) == _composed(cluster) + _composed(letter):
                yield cluster
                cluster = ""
            cluster += letter
        yield cluster


def _letters(text: str) -> Iterator[str]:
    start = 0
    for index, character in enumerate(text):
        # Four marks of Tibetan and Greek count as letters until they are taken apart.
        if index and not unicodedata.combining(unicodedata.normalize("NFD", character)[0]):
            yield text[start:index]
            start = index
    yield text[start:]


def _composed(piece: str) -> str:
    # A text that is composed already is left alone, even its long rows of marks; a piece of another one is not.
    return clean(piece + "e\u0301", _NFC)[:-1]


def _folded(run: str) -> str:
    return " " if run.isspace() else run


_STEPS: dict[str, tuple[Cleaning, Callable[[str], Iterable[str]], Callable[[str], str]]] = {
    "html": (_HTML, _entities, lambda piece: clean(piece, _HTML)),
    "control": (_CONTROL, list, lambda character: clean(character, _CONTROL)),
    "nfc": (_NFC, _clusters, _composed),
    "whitespace": (_WHITESPACE, re.compile(r"\s+|\S+").findall, _folded),
}
"""In the order of `clean`: a step, the pieces it takes apart from each other, and what it makes of one."""
