"""Spaces before punctuation."""

_CLOSED_UP = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


def without_spaces_before_punctuation(text: str) -> str:
    """What transformers does to a decoded text where `clean_up_tokenization_spaces` is set."""
    for part in _CLOSED_UP:
        text = text.replace(part, part.strip())
    return text
