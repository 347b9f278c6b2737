"""Text cleaning: the same few steps before training and before every answer."""

import html
import re
import unicodedata
from functools import cache, lru_cache

from pydantic import BaseModel, ConfigDict, Field

_SPACE = re.compile(r"\s+")
# Cc without the white space that _SPACE folds: C0 and C1 control characters.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

# The patterns below take a twentieth of a second to compile: at their first use, which help never comes to.


@cache
def _unseen() -> re.Pattern[str]:
    """What Unicode calls default ignorable, white space, control characters, and the Braille pattern without a dot."""
    return re.compile(
        "[\\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
        "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
        "\U000e0000-\U000e0fff]*"
    )


@cache
def _hidden() -> re.Pattern[str]:
    """What changes nothing that is seen in a name. Joiners (U+200C, U+200D) do so inside Persian, Indic and emoji,
    variation selectors behind symbols; there they stay."""
    joined = "\u0590-\u1fff\u2190-\ufdff\ufe0f\U00010000-\U0010ffff"
    return re.compile(
        "[\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff]"
        f"|(?<![{joined}])[\u200c\u200d]|[\u200c\u200d](?![{joined}])|(?<=[^\\W\\d_])[\ufe0e\ufe0f]+"
    )


@cache
def _row_of_joiners() -> re.Pattern[str]:
    """No writing joins so, but for a symbol in colour with the next; one by one they would take a pass each."""
    return re.compile("(?!\ufe0f\u200d(?![\u200c\u200d\ufe0e\ufe0f]))[\u200c\u200d\ufe0e\ufe0f]{2,}")


_MARKS_IN_A_ROW = 30
"""The Stream-Safe Text Format of UAX #15 allows so many combining marks in a row; no writing system needs more."""


class Cleaning(BaseModel):
    """Which cleaning steps a model was trained with; recorded in `model.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    html: bool = Field(default=False, description="Turn HTML entities (`&amp;`) into the characters they stand for.")
    nfc: bool = Field(default=True, description="Compose Unicode characters (normalization form C).")
    control: bool = Field(default=True, description="Remove control characters other than white space.")
    whitespace: bool = Field(
        default=True, description="Fold each run of white space into one space and strip both ends."
    )


def clean(text: str, steps: Cleaning) -> str:
    """The text after the chosen steps; lone surrogates always become U+FFFD, which any tokenizer can read."""
    if steps.html:
        text = html.unescape(legible(text))
    if text.isascii() and text.isprintable():
        # Nothing for the patterns below to find but blanks, and most texts are so.
        return " ".join(text.split()) if steps.whitespace else text
    text = legible(text)
    # Before composing: a control character may stand between a letter and its accent.
    if steps.control:
        text = _CONTROL.sub("", text)
    if steps.nfc:
        text = _composed(text)
    if steps.whitespace:
        text = _SPACE.sub(" ", text).strip()
    return text


@lru_cache(maxsize=4096)
def clean_label(text: str) -> str:
    """The name of a label: cleaned as a text is, without what nobody sees, so that names that look alike are equal."""
    before = None
    while before != text:
        before, text = text, clean(_hidden().sub("", _row_of_joiners().sub("", text)), Cleaning())
    return text


def legible(text: str) -> str:
    """The text with U+FFFD for each half of a character, which JSON can hold but no file; as long as before."""
    return _SURROGATE.sub("\ufffd", text)


def is_visible(text: str) -> bool:
    """Whether the text has anything to see: more than white space, control characters and characters of no width."""
    return not _unseen().fullmatch(text)


def _composed(text: str) -> str:
    if unicodedata.is_normalized("NFC", text):
        return text
    return unicodedata.normalize("NFC", _with_bounded_marks(text))


def _with_bounded_marks(text: str) -> str:
    """The text without the marks that exceed the bound: sorting a long row of them takes quadratic time."""
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)
