"""How long texts are and in which script they are written, and the rows that are far from the others."""

import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tunewright.job.data.doctor.finding import Finding
from tunewright.job.data.doctor.side import Side

_FEWEST = 50
"""Rows under which none is called far from the others."""
_FAR = 4.0
"""Widths of the middle half beyond it, of the logarithms of the lengths."""
_NARROWEST = 0.25
"""Width of the middle half that is taken at least."""
_LETTERS = 0.3
"""Share of letters and digits under which a text is mostly something else; of texts of so many characters: """
_LONG_ENOUGH = 20
_RARE = 0.2
"""Share of the rows up to which those of another script are told."""
_NAMES = {"cjk": "chinese", "hiragana": "kana", "katakana": "kana", "fullwidth": "latin", "halfwidth": "kana"}


@dataclass(frozen=True)
class Texts:
    """What was counted of the texts of a side, row by row."""

    lengths: NDArray[np.int64]
    """Characters of each row, as far as they are looked at."""
    scripts: list[str]
    """The script of most of its letters; empty without a letter."""
    is_odd: NDArray[np.bool_]
    """Whether letters and digits are the fewest of its characters."""

    @property
    def shares(self) -> dict[str, float]:
        """Share of the rows of each script, the commonest first."""
        counts = Counter(self.scripts)
        return {script or "none": count / len(self.scripts) for script, count in counts.most_common()}


def measure(side: Side) -> Texts:
    """Read every text of a side once."""
    lengths, odd, scripts = array("q"), bytearray(), list[str]()
    for texts, _ in side.rows():
        characters = Counter("".join(texts))
        letters, digits = Counter[str](), 0
        for character, count in characters.items():
            script = _script(character)
            letters[script] += count if script else 0
            digits += count if character.isdecimal() else 0
        length = sum(count for character, count in characters.items() if not character.isspace())
        lengths.append(sum(map(len, texts)))
        odd.append(length >= _LONG_ENOUGH and letters.total() + digits < _LETTERS * length)
        scripts.append(letters.most_common(1)[0][0] if letters.total() else "")
    return Texts(np.frombuffer(lengths, dtype=np.int64), scripts, np.frombuffer(odd, dtype=np.bool_))


@cache
def _script(character: str) -> str:
    """The script of a letter, as Unicode's names begin; empty for what is no letter."""
    if not character.isalpha():
        return ""
    word = unicodedata.name(character, "other").partition(" ")[0].lower()
    return _NAMES.get(word, word)


def outlying(side: Side, texts: Texts) -> Iterator[Finding]:
    """Texts far longer or shorter than the others, and texts that are hardly letters or digits."""
    if len(side) < _FEWEST:
        return
    logs = np.log(np.maximum(texts.lengths, 1))
    low, high = np.percentile(logs, (25, 75))
    width = _FAR * max(high - low, _NARROWEST)
    far = (logs > high + width) | (logs < low - width)
    rows = np.flatnonzero(far | texts.is_odd)
    if len(rows):
        parts = [
            f"{int(count):,} {what}"
            for count, what in (
                ((logs > high + width).sum(), "far longer than the others"),
                ((logs < low - width).sum(), "far shorter"),
                (texts.is_odd.sum(), "hardly letters or digits"),
            )
            if count
        ]
        text = f"{len(rows):,} of {len(side):,} {side.name} rows are outliers: {', '.join(parts)}"
        advice = "look at them: a broken export, a table in a cell or markup (data.cleaning takes some of it out)"
        yield Finding(
            "outliers", "note", side.name, len(rows), len(rows) / len(side), text, advice, side.examples(rows)
        )


def foreign(side: Side, texts: Texts) -> Iterator[Finding]:
    """Rows whose letters are of another script than those of most rows."""
    shares = {script: share for script, share in texts.shares.items() if script != "none"}
    if len(shares) < 2:
        return
    usual = next(iter(shares))
    rows = np.flatnonzero([bool(script) and script != usual for script in texts.scripts])
    if len(rows) > _RARE * len(side):
        return
    others = ", ".join(f"{script} {share:.2%}" for script, share in list(shares.items())[1:4])
    yield Finding(
        "scripts",
        "note",
        side.name,
        len(rows),
        len(rows) / len(side),
        f"{len(rows):,} of {len(side):,} {side.name} rows are written in another script than the {usual} of the others "
        f"({others})",
        "leave them out, or see that there are enough of them and that the base model knows the language",
        side.examples(rows),
    )
