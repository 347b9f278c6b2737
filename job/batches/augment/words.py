"""Words changed: swapped, left out, misspelt, replaced. Labels of words move with them."""

import re
from collections.abc import Sequence

import numpy as np

from tunewright.job.settings.remedies import AugmentSettings
from tunewright.serving.text.spacing import UNSPACED_LETTERS

_WORD = re.compile(f"([{UNSPACED_LETTERS}]|[^\\W_{UNSPACED_LETTERS}]+)")
"""A run of letters and digits, or one letter of a script that is written without spaces."""
Numbered = list[tuple[int, str]]
"""Words, each with its number before anything was changed."""


def pieces_of(text: str) -> list[str]:
    """What stands between words and the words, in turns: words have odd numbers."""
    return _WORD.split(text)


def changed(
    words: Sequence[str], settings: AugmentSettings, random: np.random.Generator, *, fixed: Sequence[bool]
) -> Numbered:
    """Words that were swapped, left out and misspelt. `fixed`: which of them keep their place and are not left out."""
    found = list(enumerate(words))
    for at in np.flatnonzero(random.random(len(words)) < settings.swap).tolist():
        if at + 1 < len(found) and not (fixed[at] or fixed[at + 1]):
            found[at], found[at + 1] = found[at + 1], found[at]
    stays = random.random(len(words)) >= settings.delete
    kept = [one for one in found if stays[one[0]] or fixed[one[0]]]
    spoilt = random.random(len(words)) < settings.typos
    return [(number, _misspelt(word, random) if spoilt[number] else word) for number, word in kept or found[:1]]


def _misspelt(word: str, random: np.random.Generator) -> str:
    """Two neighbouring letters changed, one left out, or one doubled; the first one stays."""
    if len(word) < 3:
        return word
    at = int(random.integers(1, len(word) - 1))
    kind = int(random.integers(3))
    middle = (word[at + 1] + word[at], word[at + 1], word[at] * 2 + word[at + 1])[kind]
    return word[:at] + middle + word[at + 2 :]


def text_changed(text: str, settings: AugmentSettings, random: np.random.Generator) -> list[str]:
    """The pieces of a text with its words changed; what stands between them stays, but for what follows a word that is
    left out."""
    pieces = pieces_of(text)
    words = pieces[1::2]
    if not words:
        return pieces
    made = changed(words, settings, random, fixed=[False] * len(words))
    gone = set(range(len(words))) - {number for number, _ in made}
    gaps = [pieces[0], *(gap for number, gap in enumerate(pieces[2::2]) if number not in gone)]
    return [gaps[0], *(piece for (_, word), gap in zip(made, gaps[1:], strict=True) for piece in (word, gap))]


def chosen(count: int, share: float, random: np.random.Generator) -> list[int]:
    """Which of so many words are replaced."""
    return np.flatnonzero(random.random(count) < share).tolist()
