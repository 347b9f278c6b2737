"""Words replaced by what a model that finds masked words would write in their place: no lexicon, no network.

Axes: B texts, T tokens, V tokens of the vocabulary.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer

_BEST = 10
"""The so many likeliest tokens are drawn from."""
Logits = Callable[[list[list[int]]], torch.Tensor]
"""Rows of token ids to logits `[B, T, V]`."""


class Synonyms:
    """Another word in the place of one, drawn from the likeliest of the model's."""

    def __init__(self, tokenizer: Tokenizer, mask: str, longest: int, logits: Logits) -> None:
        self._tokenizer, self._mask, self._logits = tokenizer, mask, logits
        tokenizer.no_padding()
        tokenizer.enable_truncation(longest)
        self._mask_id = tokenizer.token_to_id(mask)
        # Byte-level and SentencePiece vocabularies mark where a word begins, WordPiece where it goes on.
        self._marks = any(piece[:1] in ("Ġ", "▁") for piece in tokenizer.get_vocab())

    def replaced(
        self, texts: Sequence[list[str]], places: Sequence[list[int]], randoms: Sequence[np.random.Generator]
    ) -> list[list[str]]:
        """The pieces of each text with those at the places replaced; one for which no other word is found stays."""
        made = [list(pieces) for pieces in texts]
        hidden = [number for number, some in enumerate(places) if some]
        if not hidden:
            return made
        masked = ["".join(self._with_masks(texts[number], places[number])) for number in hidden]
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(masked)]
        logits = self._logits(rows)
        for at, number in enumerate(hidden):
            found = [place for place, token in enumerate(rows[at]) if token == self._mask_id]
            # A text that was cut has fewer masks than were put into it, all from its beginning.
            for piece, place in zip(places[number], found, strict=False):
                made[number][piece] = self._drawn(logits[at, place], texts[number][piece], randoms[number])
        return made

    def _with_masks(self, pieces: list[str], places: list[int]) -> list[str]:
        return [self._mask if number in places else piece for number, piece in enumerate(pieces)]

    def _drawn(self, logits_V: torch.Tensor, word: str, random: np.random.Generator) -> str:
        scores, ids = logits_V.double().topk(min(4 * _BEST, len(logits_V)))
        words = [self._word(token) for token in ids.tolist()]
        fit = [at for at, one in enumerate(words) if one and one.casefold() != word.casefold()][:_BEST]
        if not fit:
            return word
        shares = scores[fit].softmax(0).numpy()
        return str(words[fit[int(random.choice(len(fit), p=shares))]])

    def _word(self, token: int) -> str:
        """The word that a token is, empty for one that is none."""
        piece = self._tokenizer.id_to_token(token) or ""
        if piece.startswith("##") or (self._marks and piece[:1] not in ("Ġ", "▁")):
            return ""
        text = self._tokenizer.decode([token], skip_special_tokens=True).strip()
        return text if text.isalpha() else ""
