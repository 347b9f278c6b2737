"""Texts to token ids, once, by the tokenizer file that will encode them in production; kept on disk.

Axes: N rows, S token ids of all rows one after the other.
"""

import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from tunewright.job.batches.side import NO_TARGETS, HeldTargets, Targets
from tunewright.job.data.dataset import Dataset, strings
from tunewright.job.errors import BaseModelError, DataError
from tunewright.serving.errors import InputError
from tunewright.serving.text.encoding import Encoded, Encoder, Text, is_panic
from tunewright.serving.text.spacing import UNSPACED_LETTERS

Number = TypeVar("Number", bound=np.generic)
NO_LABEL = -100
"""Where nothing is to be learned; torch's cross-entropy passes over it."""
_SAMPLE = 2000
"""Rows on which the fit of the tokenizer is judged."""
_WORD = re.compile(f"[{UNSPACED_LETTERS}]|[^\\W_{UNSPACED_LETTERS}]+")
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
    targets: HeldTargets
    """`[N]` or `[N, L]`, as the loss wants them; `[0]` where each token has a label."""
    truncated: int
    """Rows that were cut to the longest length allowed."""
    labels: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    """`[S]`: what is to be learned at each token, or `NO_LABEL`; empty where rows have one target each."""

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


class TextRows:
    """Encoded rows as the training loop reads them: padded token ids `[B, T]`."""

    def __init__(self, split: EncodedSplit, encoder: Encoder, inputs: Sequence[str]) -> None:
        self._split, self._encoder, self._inputs = split, encoder, inputs
        self.lengths, self.truncated = split.lengths, split.truncated

    def __len__(self) -> int:
        return len(self._split)

    def batch(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """Token ids, masks and targets of these rows."""
        arrays = self._encoder.pad([self._split.row(row) for row in rows], self._inputs)
        batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return {**batch, "targets": torch.from_numpy(self._targets(rows))}

    def _targets(self, rows: Sequence[int]) -> Targets:
        return self._split.targets[list(rows)]


class TokenRows(TextRows):
    """Encoded rows with a label at each token `[B, T]`."""

    def labelled(self, index: int) -> tuple[Encoded, list[int]]:
        """One row with the label at each of its tokens."""
        part = slice(self._split.starts[index], self._split.starts[index + 1])
        return self._split.row(index), self._split.labels[part].tolist()

    def _targets(self, rows: Sequence[int]) -> Targets:
        lengths = self.lengths[list(rows)]
        targets = np.full((len(rows), int(lengths.max())), NO_LABEL, dtype=np.int64)
        for target, row, length in zip(targets, rows, lengths, strict=True):
            start = self._split.starts[row]
            target[:length] = self._split.labels[start : start + length]
        return targets


class SplitWriter:
    """Writes encoded rows to files in a folder, so that they need not fit into memory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ids, self._type_ids, self._labels = (
            (folder / name).open("wb") for name in ("ids.i32", "type_ids.i8", "labels.i32")
        )
        # Not a list: a row costs eight bytes.
        self._starts, self._truncated = array("q", [0]), 0

    def add(self, row: Encoded, labels: Sequence[int] | None = None) -> None:
        """Append one row, with what is to be learned at each of its tokens."""
        self._ids.write(np.array(row.ids, dtype=np.int32).tobytes())
        self._type_ids.write(np.array(row.type_ids, dtype=np.int8).tobytes())
        if labels is not None:
            self._labels.write(np.array(labels, dtype=np.int32).tobytes())
        self._starts.append(self._starts[-1] + len(row))
        self._truncated += row.truncated

    def close(self, targets: HeldTargets = NO_TARGETS) -> EncodedSplit:
        """Finish the files and open them. `targets`: those of the rows, where each has one."""
        for file in (self._ids, self._type_ids, self._labels):
            file.close()
        return open_split(self._folder, np.frombuffer(self._starts, dtype=np.int64), targets, self._truncated)


def open_split(folder: Path, starts: NDArray[np.int64], targets: HeldTargets, truncated: int) -> EncodedSplit:
    """The rows whose files a `SplitWriter` has finished."""
    return EncodedSplit(
        ids=_mapped(folder / "ids.i32", np.int32),
        type_ids=_mapped(folder / "type_ids.i8", np.int8),
        labels=_mapped(folder / "labels.i32", np.int32),
        starts=starts,
        targets=targets,
        truncated=truncated,
    )


def _mapped(path: Path, kind: type[Number]) -> NDArray[Number]:
    # An empty file cannot be mapped.
    return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.zeros(0, dtype=kind)


def encode(
    data: Dataset, encoder: Encoder, targets: HeldTargets, folder: Path, *, on_rows: Callable[[int], None]
) -> EncodedSplit:
    """Encode all rows into files in `folder`, a batch at a time."""
    writer = SplitWriter(folder)
    for texts, _ in data.batches():
        for row in encoded(encoder, texts):
            writer.add(row)
        on_rows(len(texts))
    return writer.close(targets)


def encoded(encoder: Encoder, texts: Sequence[Text]) -> list[Encoded]:
    """Rows of token ids; DataError for a text that the tokenizer makes nothing of."""
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
    tokens_per_word: float = 0.0
    """A word is a run of letters and digits, or one letter of a script that is written without spaces."""
    unknown_tokens: float = 0.0
    """Share of the tokens that are the unknown token."""

    @property
    def poor(self) -> bool:
        """True when most letters carry no meaning of a word any more."""
        return self.unknown + self.single > 0.5

    @property
    def foreign(self) -> bool:
        """True when letters are unknown too, which they are not where one letter a token is meant."""
        return self.unknown > 0.05


def _encoded(texts: list[str], tokenizer: Tokenizer) -> list[Encoding]:
    try:
        return list(tokenizer.encode_batch(texts, add_special_tokens=False))
    except BaseException as error:
        if is_panic(error):
            raise BaseModelError(f"the tokenizer of the base model gives up on a text of the data: {error}") from error
        raise


def tokenizer_fit(data: Dataset, tokenizer: Tokenizer) -> TokenizerFit:
    """Judge the tokenizer on the first rows of the data."""
    texts = data.select(range(min(len(data), _SAMPLE))).inputs()
    plain = [" ".join(strings(text))[:_SAMPLE_CHARACTERS] for text in texts]
    tokenizer.no_padding()
    tokenizer.no_truncation()
    unknown_token = getattr(tokenizer.model, "unk_token", None)
    letters = unknown = single = tokens = lost = 0
    for text, encoding in zip(plain, _encoded(plain, tokenizer), strict=True):
        tokens += len(encoding)
        lost += encoding.tokens.count(unknown_token) if unknown_token else 0
        for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
            count = sum(character.isalpha() for character in text[start:end])
            letters += count
            unknown += count if token == unknown_token else 0
            single += count == 1 and token != unknown_token
    words = sum(len(_WORD.findall(text)) for text in plain)
    return TokenizerFit(
        unknown / max(letters, 1), single / max(letters, 1), tokens / max(words, 1), lost / max(tokens, 1)
    )


def percentiles(lengths: NDArray[np.int64], points: Sequence[int] = (50, 95, 100)) -> list[int]:
    """Token counts at these percentiles."""
    return [int(value) for value in np.percentile(lengths, points)]
