"""Text to token ids: the only tokenizer code in the house, used by training too.

Axes: B rows of a batch, T tokens of the longest row in it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Encoding, Tokenizer

from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.text.alignment import align
from tunewright.serving.text.cleaning import Cleaning, clean

Text = str | tuple[str, str]
"""One text, or the two texts of a pair."""

_CHARACTERS_PER_TOKEN = 64
"""A text is cut to this many characters per token of the limit before it is tokenized: no ordinary text is
that dense, and a tokenizer would otherwise walk all of a 10 MB text to keep its first 256 tokens."""

MOST_TOKENS = 10_000_000
"""Entries of a vocabulary, far more than any has."""

MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""What a graph may ask for."""


class Padding(BaseModel):
    """How rows of unequal length become one rectangle."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    id: int = Field(ge=0, le=MOST_TOKENS)
    """Token id written where a shorter row has ended."""
    type_id: int = Field(default=0, ge=0, le=1000)
    """Segment id written there."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One encoded row."""

    ids: list[int]
    type_ids: list[int]
    truncated: bool
    """Whether the end of the text was left out, or its beginning where the tokenizer says so."""
    wants_vector: bool = False
    """Whether it is answered by its vector, not by its logits."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token of a row stands in the text as it was sent."""

    text: int
    """0, or 1 in the second text of a pair."""
    start: int
    end: int


class Encoder:
    """A `tokenizer.json` with the limits a model was trained with."""

    def __init__(self, tokenizer: Path, *, max_length: int, padding: Padding, cleaning: Cleaning) -> None:
        self.max_length = max_length
        self.padding = padding
        self.cleaning = cleaning
        self._tokenizer = shared_tokenizer(tokenizer, max_length)
        self._left = (self._tokenizer.truncation or {}).get("direction") == "left"
        if (added := self._tokenizer.num_special_tokens_to_add(False)) >= max_length:
            raise BundleError(
                f"{tokenizer} puts {added:,} special tokens around a text, which leaves no room for it in a row of "
                f"{max_length:,} tokens"
            )

    def encode(self, texts: Sequence[Text], *, first: int = 0) -> list[Encoded]:
        """Clean and tokenize; rows over `max_length` tokens are cut, the longer text of a pair first.

        `first`: the number of the first text, for errors to name.
        """
        prepared = [self._prepared(text) for text in texts]
        rows = []
        for index, encoding in enumerate(self._tokenized([text for text, _ in prepared]), first):
            if not encoding.ids:
                raise InputError(f"text {index} is empty: this model's tokenizer makes no token of it")
            if len(encoding.ids) > self.max_length:
                raise InputError(
                    f"text {index} has {len(encoding.ids):,} tokens where a row has {self.max_length:,}: this model's "
                    "tokenizer puts too many special ones around a pair of texts"
                )
            truncated = prepared[index - first][1] or bool(encoding.overflowing)
            rows.append(Encoded(encoding.ids, encoding.type_ids, truncated))
        return rows

    def places(self, text: Text) -> list[Place | None]:
        """The place of each token of the row that `encode` makes of a text; None for a special one."""
        texts = (text,) if isinstance(text, str) else text
        most = self.max_length * _CHARACTERS_PER_TOKEN
        shifts = [max(len(one) - 2 * most, 0) if self._left else 0 for one in texts]
        aligned = [align(self._reached(one), self.cleaning) for one in texts]
        cuts = [max(len(one.text) - most, 0) if self._left else 0 for one in aligned]
        bounded = [one.text[cut : cut + most] for one, cut in zip(aligned, cuts, strict=True)]
        encoding: Encoding = self._tokenizer.encode(bounded[0], bounded[1] if len(bounded) > 1 else None)
        places: list[Place | None] = []
        for number, (start, end) in zip(encoding.sequence_ids, encoding.offsets, strict=True):
            if number is None:
                places.append(None)
                continue
            first, last = aligned[number].span(start + cuts[number], end + cuts[number])
            places.append(Place(number, first + shifts[number], last + shifts[number]))
        return places

    def token_id(self, token: str) -> int | None:
        """The id of a token that the vocabulary spells so."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def _prepared(self, text: Text) -> tuple[Text, bool]:
        """The text cleaned and bounded, and whether that cost it its end."""
        if isinstance(text, str):
            return self._bounded(text)
        (first, first_cut), (second, second_cut) = (self._bounded(part) for part in text)
        return (first, second), first_cut or second_cut

    def _bounded(self, text: str) -> tuple[str, bool]:
        most = self.max_length * _CHARACTERS_PER_TOKEN
        cleaned = clean(self._reached(text), self.cleaning)
        bounded = cleaned[-most:] if self._left else cleaned[:most]
        return bounded, len(text) > 2 * most or len(cleaned) > most

    def _reached(self, text: str) -> str:
        """Twice the bound before cleaning, which may shorten: a page that begins with blanks keeps its words."""
        most = 2 * self.max_length * _CHARACTERS_PER_TOKEN
        return text[-most:] if self._left else text[:most]

    def _tokenized(self, texts: list[Text]) -> list[Encoding]:
        with panics_told():
            return list(self._tokenizer.encode_batch_fast(texts))

    def pad(self, rows: Sequence[Encoded], names: Iterable[str]) -> dict[str, NDArray[np.int64]]:
        """Rows to int64 arrays `[B, T]` for the named model inputs, padded on the right."""
        longest = max(len(row) for row in rows)
        arrays: dict[str, NDArray[np.int64]] = {}
        for name in names:
            fill = [self._fill(name)]
            arrays[name] = np.array([_values(row, name) + fill * (longest - len(row)) for row in rows], dtype=np.int64)
        return arrays

    def _fill(self, name: str) -> int:
        return {"input_ids": self.padding.id, "token_type_ids": self.padding.type_id}.get(name, 0)


_IN_USE: WeakValueDictionary[tuple[bytes, int | None], Tokenizer] = WeakValueDictionary()
"""By the digest of their files, and where they cut."""


def shared_tokenizer(path: Path, max_length: int | None = None) -> Tokenizer:
    """A tokenizer that pads nothing, and cuts texts at so many tokens or nowhere; BundleError.

    Models whose files are the same have it together, so it must not be changed. To read one holds the interpreter's
    lock, for 20 ms where it has 30,000 words: each move of an alias would stop all that is being answered, for what is
    there already.
    """
    try:
        key = (hashlib.sha256(path.read_bytes()).digest(), max_length)
    except OSError as error:
        raise BundleError(f"{path} is not a tokenizer this program can read: {error}") from error
    if (tokenizer := _IN_USE.get(key)) is None:
        tokenizer = load_tokenizer(path)
        tokenizer.no_padding()
        if max_length is None:
            tokenizer.no_truncation()
        else:
            # The file says on which side texts are cut; its length is not the model's.
            side = (tokenizer.truncation or {}).get("direction", "right")
            tokenizer.enable_truncation(max_length, direction=side)
        _IN_USE[key] = tokenizer
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a `tokenizer.json`; BundleError names the file when the library refuses it."""
    try:
        return Tokenizer.from_file(str(path))
    except BaseException as error:  # the library raises a bare Exception for any fault of the file
        if isinstance(error, Exception) or is_panic(error):
            raise BundleError(f"{path} is not a tokenizer this program can read: {error}") from error
        raise


# A class: a generator that is made a context manager takes three times as long.
class panics_told(AbstractContextManager[None]):
    """InputError where the tokenizer gives up on a text."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and is_panic(error):
            raise InputError(f"the tokenizer gives up on a text: {error}") from error


def is_panic(error: BaseException) -> bool:
    """A panic of the Rust library derives from BaseException and has no class that could be imported."""
    return type(error).__name__ == "PanicException"


def check_inputs(names: Iterable[str]) -> None:
    """BundleError when a graph asks for something that a text model does not have."""
    for name in names:
        if name not in MODEL_INPUTS:
            raise BundleError(f"the graph wants an input {name!r}; text models have {', '.join(MODEL_INPUTS)}")


def _values(row: Encoded, name: str) -> list[int]:
    if name == "attention_mask":
        return [1] * len(row)
    return row.type_ids if name == "token_type_ids" else row.ids
