"""Where scripts put spaces, and where a decoded text has too many."""

import re

UNSPACED_LETTERS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""The letters of scripts without spaces between words, as they stand between the brackets of a pattern: Thai, Lao,
Burmese, Khmer, kana, Chinese characters."""
UNSPACED = re.compile(f"[{UNSPACED_LETTERS}]")
"""One such letter."""
_CLOSED_UP = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


def without_spaces_before_punctuation(text: str) -> str:
    """What transformers does to a decoded text where `clean_up_tokenization_spaces` is set."""
    for part in _CLOSED_UP:
        text = text.replace(part, part.strip())
    return text
