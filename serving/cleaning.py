"""Text cleaning: the same few steps before training and before every answer."""

import html
import re
import unicodedata

from pydantic import BaseModel, ConfigDict

_SPACE = re.compile(r"\s+")
# Cc without the white space that _SPACE folds: C0 and C1 control characters.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_MARKS_IN_A_ROW = 30
"""The Stream-Safe Text Format of UAX #15 allows so many combining marks in a row; no writing system needs more."""


class Cleaning(BaseModel):
    """Which cleaning steps a model was trained with; recorded in `model.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    html: bool = False
    """Turn HTML entities (`&amp;`) into the characters they stand for."""
    nfc: bool = True
    """Compose Unicode characters (normalization form C)."""
    control: bool = True
    """Remove control characters other than white space."""
    whitespace: bool = True
    """Fold each run of white space into one space and strip both ends."""


def clean(text: str, steps: Cleaning) -> str:
    """The text after the chosen steps; lone surrogates always become U+FFFD, which any tokenizer can read."""
    text = _SURROGATE.sub("\ufffd", text)
    if steps.html:
        text = html.unescape(text)
    # Before composing: a control character may stand between a letter and its accent.
    if steps.control:
        text = _CONTROL.sub("", text)
    if steps.nfc:
        text = _composed(text)
    if steps.whitespace:
        text = _SPACE.sub(" ", text).strip()
    return text


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
