"""Texts to token ids, once, by the tokenizer file that will encode them in production; kept on disk.

Axes: N rows, S token ids of all rows one after the other.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from job.dataset import Dataset
from job.errors import DataError
from serving.encoding import Encoded, Encoder, Text
from serving.errors import InputError

_SAMPLE = 2000
"""Rows on which the fit of the tokenizer is judged."""
_SAMPLE_CHARACTERS = 1000
"""Characters of each of these rows: a tokenizer walks all of a text."""


@dataclass(frozen=True)
class EncodedSplit:
    """Rows of token ids in memory-mapped files."""

    ids: NDArray[np.int32]
    """`[S]`"""
    type_ids: NDArray[np.int8]
    """`[S]`"""
    starts: NDArray[np.int64]
    """`[N + 1]`: row i is `ids[starts[i]:starts[i + 1]]`."""
    targets: NDArray[Any]
    """`[N]` or `[N, L]`, as the loss wants them."""
    truncated: int
    """Rows that were cut to the longest length allowed."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, `[N]`."""
        return np.diff(self.starts)

    def row(self, index: int) -> Encoded:
        """One row as the encoder made it."""
        part = slice(self.starts[index], self.starts[index + 1])
        return Encoded(self.ids[part].tolist(), self.type_ids[part].tolist(), truncated=False)


def encode(
    data: Dataset, encoder: Encoder, targets: NDArray[Any], folder: Path, *, on_rows: Callable[[int], None]
) -> EncodedSplit:
    """Encode all rows into files in `folder`, a batch at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    # Not a list: a row costs eight bytes.
    starts, truncated = array("q", [0]), 0
    with (folder / "ids.i32").open("wb") as ids, (folder / "type_ids.i8").open("wb") as type_ids:
        for texts, _ in data.batches():
            rows = _encoded(encoder, texts)
            for row in rows:
                ids.write(np.array(row.ids, dtype=np.int32).tobytes())
                type_ids.write(np.array(row.type_ids, dtype=np.int8).tobytes())
                starts.append(starts[-1] + len(row))
                truncated += row.truncated
            on_rows(len(rows))
    return EncodedSplit(
        ids=np.memmap(folder / "ids.i32", dtype=np.int32, mode="r"),
        type_ids=np.memmap(folder / "type_ids.i8", dtype=np.int8, mode="r"),
        starts=np.frombuffer(starts, dtype=np.int64),
        targets=targets,
        truncated=truncated,
    )


def _encoded(encoder: Encoder, texts: list[Text]) -> list[Encoded]:
    try:
        return encoder.encode(texts)
    except InputError as error:
        raise DataError(f"the tokenizer of the base model cannot encode a row of the data: {error}") from error


@dataclass(frozen=True)
class TokenizerFit:
    """How well a tokenizer knows the words of the data."""

    unknown: float
    """Share of the letters that end up in the unknown token."""
    single: float
    """Share of the letters that become a token of their own."""

    @property
    def poor(self) -> bool:
        """True when most letters carry no meaning of a word any more."""
        return self.unknown + self.single > 0.5

    @property
    def foreign(self) -> bool:
        """True when letters are unknown too, which they are not where one letter a token is meant."""
        return self.unknown > 0.05


def tokenizer_fit(data: Dataset, tokenizer: Tokenizer) -> TokenizerFit:
    """Judge the tokenizer on the first rows of the data."""
    texts = data.select(range(min(len(data), _SAMPLE))).texts()
    plain = [(text if isinstance(text, str) else " ".join(text))[:_SAMPLE_CHARACTERS] for text in texts]
    tokenizer.no_padding()
    tokenizer.no_truncation()
    unknown_token = getattr(tokenizer.model, "unk_token", None)
    letters = unknown = single = 0
    for text, encoding in zip(plain, tokenizer.encode_batch(plain, add_special_tokens=False), strict=True):
        for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
            count = sum(character.isalpha() for character in text[start:end])
            letters += count
            unknown += count if token == unknown_token else 0
            single += count == 1 and token != unknown_token
    return TokenizerFit(unknown / max(letters, 1), single / max(letters, 1))


def percentiles(lengths: NDArray[np.int64], points: Sequence[int] = (50, 95, 100)) -> list[int]:
    """Token counts at these percentiles."""
    return [int(value) for value in np.percentile(lengths, points)]
