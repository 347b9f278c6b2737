"""Words hidden from a model that shall find them (masked language modelling, Devlin et al. 2018).

Axes: B rows of a batch, T tokens of a row, M masked tokens of a batch.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tunewright.job.batches.text import NO_LABEL, EncodedSplit
from tunewright.serving.text.encoding import Encoded, Encoder

_HIDDEN, _SWAPPED = 0.8, 0.1
"""Of the tokens to be found so many become the mask and so many another token; the rest stay as they are."""
_FEWEST = 2
"""Tokens of a row at least: one to be found, and one to find it by."""

Ids = NDArray[np.int64]
Words = NDArray[np.int64]
"""The number of the word of each token `[T]`; `NO_LABEL` for a token that is never masked."""


@dataclass(frozen=True)
class Hidden:
    """A row with hidden words."""

    row: Encoded
    """As the model shall read it."""
    chosen: NDArray[np.bool_]
    """Which of its tokens are to be found, `[T]`."""
    targets: Ids
    """What these tokens were."""


@dataclass(frozen=True)
class Masking:
    """Hides a share of a row's words."""

    share: float
    """Share of the tokens to be found."""
    mask: int
    """Id of the mask token."""
    ordinary: Ids
    """Ids of the vocabulary without special tokens."""

    def hide(self, row: Encoded, words: Words, random: np.random.Generator) -> Hidden:
        """A row of which at least one word can be masked, with some of its words hidden."""
        ids, chosen = np.array(row.ids, dtype=np.int64), self._chosen(words, random)
        targets, fate = ids[chosen], random.random(len(ids))
        ids[chosen & (fate < _HIDDEN)] = self.mask
        swapped = chosen & (fate >= 1 - _SWAPPED)
        ids[swapped] = random.choice(self.ordinary, int(swapped.sum()))
        return Hidden(Encoded(ids.tolist(), row.type_ids, truncated=False), chosen, targets)

    def _chosen(self, words: Words, random: np.random.Generator) -> NDArray[np.bool_]:
        """Whole words in a random order, until they are the share of the tokens; at least one."""
        order, sizes = np.unique(words[words != NO_LABEL], return_counts=True)
        drawn = random.permutation(len(order))
        # Rounded up or down by chance, so that short rows neither gain nor lose.
        wanted = max(1, int(self.share * sizes.sum() + random.random()))
        enough = int(np.searchsorted(np.cumsum(sizes[drawn]), wanted)) + 1
        return np.isin(words, order[drawn[:enough]])


class Cutter:
    """Texts to rows of tokens: a long text goes on in the next row."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, *, whole_words: bool) -> None:
        """`max_length`: tokens of a row at most. `whole_words`: the tokens of a word count as one word."""
        tokenizer.no_padding()
        tokenizer.no_truncation()
        special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        vocabulary = tokenizer.get_vocab()
        special.add(vocabulary.get(getattr(tokenizer.model, "unk_token", None) or "", -1))
        self._tokenizer, self._whole_words = tokenizer, whole_words
        self._special = np.array(sorted(special), dtype=np.int64)
        self.ordinary: Ids = np.array(sorted(set(vocabulary.values()) - special), dtype=np.int64)
        """Ids of the vocabulary without special tokens."""
        self._before, self._after = _frame(tokenizer, str(tokenizer.id_to_token(int(self.ordinary[0]))))
        self._room = max_length - len(self._before) - len(self._after)

    def rows(self, texts: Sequence[str]) -> Iterator[tuple[int, Encoded, Words]]:
        """The rows of each text, with the number of the text; a row that holds too few tokens is left out."""
        for number, (ids, words) in enumerate(self._encoded(texts)):
            for row in self._cut(ids, words):
                yield number, *row

    def packed(self, batches: Iterable[Sequence[str]]) -> Iterator[tuple[Encoded, Words]]:
        """Rows filled to the brim: texts follow each other, divided by the token that ends a row."""
        left = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        for texts in batches:
            parts = [left, *self._divided(texts, is_first=not len(left[0]))]
            ids, words = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
            full = len(ids) // self._room * self._room
            yield from self._cut(ids[:full], words[:full])
            left = ids[full:], words[full:]
        yield from self._cut(*left)

    def _divided(self, texts: Sequence[str], *, is_first: bool) -> Iterator[tuple[Ids, Words]]:
        """The texts with a divider before each but the first."""
        divider = np.array(self._after[:1], dtype=np.int64)
        for number, part in enumerate(self._encoded(texts)):
            if number or not is_first:
                yield divider, np.full(len(divider), NO_LABEL)
            yield part

    def _encoded(self, texts: Sequence[str]) -> Iterator[tuple[Ids, Words]]:
        """Ids and words of each whole text, without special tokens around it."""
        for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False):
            ids = np.array(encoding.ids, dtype=np.int64)
            numbers = encoding.word_ids if self._whole_words else range(len(ids))
            words = np.array([NO_LABEL if number is None else number for number in numbers], dtype=np.int64)
            yield ids, np.where(np.isin(ids, self._special), NO_LABEL, words)

    def _cut(self, ids: Ids, words: Words) -> Iterator[tuple[Encoded, Words]]:
        edges = [np.full(len(edge), NO_LABEL) for edge in (self._before, self._after)]
        for start in range(0, len(ids), self._room):
            own = words[start : start + self._room]
            if (own != NO_LABEL).sum() >= _FEWEST:
                row = [*self._before, *ids[start : start + self._room].tolist(), *self._after]
                yield Encoded(row, [0] * len(row), truncated=False), np.concatenate([edges[0], own, edges[1]])


def _frame(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text."""
    plain, framed = (tokenizer.encode(text, add_special_tokens=special).ids for special in (False, True))
    before = next(at for at in range(len(framed)) if framed[at : at + len(plain)] == plain)
    return framed[:before], framed[before + len(plain) :]


class MaskedRows:
    """Encoded rows with other words hidden in each epoch: `[B, T]` tokens, `targets` `[M]` in the order of the rows.

    Which words are hidden depends on the seed, the epoch and the row alone.
    """

    def __init__(
        self, split: EncodedSplit, masking: Masking, encoder: Encoder, inputs: Sequence[str], seed: int
    ) -> None:
        """`split`: its labels are the words. `inputs`: names of the tensors that the model takes."""
        self._split, self._masking, self._encoder, self._inputs = split, masking, encoder, inputs
        self._seed, self._epoch = seed, 0
        self.lengths, self.truncated = split.lengths, split.truncated

    def __len__(self) -> int:
        return len(self._split)

    def renew(self, epoch: int) -> None:
        """Hide other words from now on."""
        self._epoch = epoch

    def batch(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """Token ids of these rows; `masked` says which of them are to be found, `targets` what they are."""
        hidden = [self._hidden(row) for row in rows]
        arrays: dict[str, NDArray[np.generic]] = dict(self._encoder.pad([one.row for one in hidden], self._inputs))
        masked = np.zeros((len(rows), max(len(one.row) for one in hidden)), dtype=bool)
        for place, one in zip(masked, hidden, strict=True):
            place[: len(one.row)] = one.chosen
        arrays |= {"learned": masked, "targets": np.concatenate([one.targets for one in hidden])}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _hidden(self, row: int) -> Hidden:
        words = self._split.labels[self._split.starts[row] : self._split.starts[row + 1]].astype(np.int64)
        return self._masking.hide(self._split.row(row), words, drawing(self._seed, self._epoch, row))


def drawing(seed: int, epoch: int, row: int) -> np.random.Generator:
    """Random numbers for one row in one epoch; epoch 0 is for rows that are measured."""
    return np.random.default_rng([seed, epoch, row])
