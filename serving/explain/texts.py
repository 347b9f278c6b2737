"""Texts and pairs of texts that are answered by one row of logits: their words, hidden by the mask token."""

from collections.abc import Sequence

import numpy as np

from tunewright.serving.explain.labels import choose_target
from tunewright.serving.explain.parts import Word, joined, told_words, words_of
from tunewright.serving.explain.shapley import Sets
from tunewright.serving.explain.subject import Answered, Asked, Subject
from tunewright.serving.text.encoding import Encoded, Encoder

MASKS = ("[MASK]", "<mask>")
"""What tokenizers call the token that stands for a hidden one."""
UNKNOWN = ("[UNK]", "<unk>")
"""And for one that they do not know."""
FIELDS = ("text", "text_pair")


def text_subject(answered: Answered, asked: Asked) -> list[Subject]:
    """The label of a text, by its words."""
    row: Encoded = answered.row
    encoder: Encoder = answered.predictor.engine.text.encoder  # type: ignore[attr-defined]  # a LogitsEngine
    texts = (answered.input,) if isinstance(answered.input, str) else answered.input
    target = choose_target(answered.output, answered.predictor, asked.target)
    words = joined(words_of(texts, encoder.places(answered.input)), asked.most_parts)
    hide = Hidden(encoder)

    def masked(shown_N: Sets) -> Encoded:
        return hide(row, hidden_tokens(words, shown_N))

    parts = told_words(words, texts, FIELDS if len(texts) > 1 else ())
    return [Subject(parts, [target.told], target.whole, masked, target.value, target.is_share)]


class Hidden:
    """Rows with tokens hidden: by the tokenizer's mask token, or left out where it has none."""

    def __init__(self, encoder: Encoder, *, keep_places: bool = False) -> None:
        """`keep_places`: nothing may be left out; where there is no mask token, the unknown one or padding hides."""
        known = (encoder.token_id(token) for token in (*MASKS, *(UNKNOWN if keep_places else ())))
        found = next((one for one in known if one is not None), None)
        self._fill = encoder.padding.id if found is None and keep_places else found

    def __call__(self, row: Encoded, tokens: Sequence[int]) -> Encoded:
        """The row without the tokens at these places."""
        hidden = set(tokens)
        if self._fill is None:
            kept = [place for place in range(len(row)) if place not in hidden]
            ids, types = ([values[place] for place in kept] for values in (row.ids, row.type_ids))
            return Encoded(ids, types, row.truncated) if ids else row
        ids = [self._fill if place in hidden else token for place, token in enumerate(row.ids)]
        return Encoded(ids, row.type_ids, row.truncated)


def hidden_tokens(words: Sequence[Word], shown_N: Sets) -> list[int]:
    """The tokens of all words that are not shown."""
    return [token for number in np.flatnonzero(~shown_N).tolist() for token in words[number].tokens]
