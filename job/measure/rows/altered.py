"""Texts written otherwise: misspelt, in other letters, with other marks, names and numbers, which leaves what they say;
and negated, which does not.

All texts of one input are changed alike: a name that stands in both is the same other name in both.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tunewright.job.batches.augment.words import pieces_of, text_changed
from tunewright.job.settings.remedies import AugmentSettings

NEGATION = "negation"
"""After which another answer may be the right one."""
_TYPOS = AugmentSettings(typos=0.1)
_MARKS = re.compile(r"\s*[.,;:\u2026]+(?=\s|$)|[\u3001\u3002\uff0c\uff1a\uff1b]+")
"""Marks that only divide: a question stays one, and so does what is shouted."""
_NAMES = """Adam Ahmed Aisha Alice Andrew Anna Anthony Barbara Brian Carlos Catherine Daniel David Deborah Edward
Elizabeth Emily Emma Eric Fatima Gary George Hannah Helen Henry Ibrahim Ivan James Jane Jennifer Jessica John Joseph
Julia Karen Kevin Laura Linda Lisa Luis Maria Martin Mary Michael Mohammed Nancy Nicole Olga Patricia Paul Peter Priya
Rachel Richard Robert Ryan Sandra Sarah Scott Sofia Stephen Steven Susan Thomas Tom Wei William Yuki""".split()
"""First names that are seldom anything else."""
_AUXILIARY = "is|are|was|were|do|does|did|can|could|will|would|should|has|have|had|must"
_NEGATED = re.compile(rf"\b({_AUXILIARY})(?:\s+not|n['\u2019]t)\b|\b(can)(?:not|['\u2019]t)\b", re.IGNORECASE)
_PLAIN = re.compile(rf"\b({_AUXILIARY})\b", re.IGNORECASE)
_WONT = re.compile(r"\bwon['\u2019]t\b", re.IGNORECASE)

Texts = list[str]


def _typos(texts: Sequence[str], random: np.random.Generator) -> Texts:
    return ["".join(text_changed(text, _TYPOS, random)) for text in texts]


def _lower_case(texts: Sequence[str], random: np.random.Generator) -> Texts:
    return [text.lower() for text in texts]


def _upper_case(texts: Sequence[str], random: np.random.Generator) -> Texts:
    return [text.upper() for text in texts]


def _punctuation(texts: Sequence[str], random: np.random.Generator) -> Texts:
    """Without the marks that divide, or with one at the end where there is none."""
    bare = [_MARKS.sub("", text) for text in texts]
    if bare != list(texts):
        return bare
    return [f"{text}." if text[-1:].isalnum() else text for text in texts]


def _names(texts: Sequence[str], random: np.random.Generator) -> Texts:
    """First names become others, one and the same another."""
    step = int(random.integers(1, len(_NAMES)))
    others = {name: _NAMES[(at + step) % len(_NAMES)] for at, name in enumerate(_NAMES)}
    return [_with_words(text, lambda word: others.get(word, word)) for text in texts]


def _numbers(texts: Sequence[str], random: np.random.Generator) -> Texts:
    """Numbers of two digits and more end in another digit."""
    step = int(random.integers(1, 10))

    def other(word: str) -> str:
        is_number = len(word) > 1 and word.isascii() and word.isdigit()
        return f"{word[:-1]}{(int(word[-1]) + step) % 10}" if is_number else word

    return [_with_words(text, other) for text in texts]


def _negation(texts: Sequence[str], random: np.random.Generator) -> Texts:
    """The first text says the opposite, in English: its first "not" goes, or comes after its first auxiliary verb."""
    first, *others = texts
    made = _WONT.sub("will", first, count=1)
    if made == first:
        made = _NEGATED.sub(lambda found: found[1] or found[2], first, count=1)
    if made == first:
        made = _PLAIN.sub(r"\1 not", first, count=1)
    return [made, *others]


def _with_words(text: str, other: Callable[[str], str]) -> str:
    pieces = pieces_of(text)
    pieces[1::2] = map(other, pieces[1::2])
    return "".join(pieces)


_CHANGES: Mapping[str, Callable[[Sequence[str], np.random.Generator], Texts]] = {
    "typos": _typos,
    "lower_case": _lower_case,
    "upper_case": _upper_case,
    "punctuation": _punctuation,
    "names": _names,
    "numbers": _numbers,
    NEGATION: _negation,
}
ALTERATIONS = tuple(_CHANGES)
"""What is changed."""
HARMLESS = tuple(kind for kind in ALTERATIONS if kind != NEGATION)
"""That which should change no answer."""


def altered(kind: str, texts: Sequence[str], row: int) -> Texts:
    """The texts of an input changed in one of `ALTERATIONS`, the same of the same row; equal ones where there is
    nothing to change in them."""
    return _CHANGES[kind](texts, np.random.default_rng([ALTERATIONS.index(kind), row]))
