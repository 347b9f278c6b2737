"""Rows of tokens for models that learn to write: what follows each token, and several texts in one row.

Axes: B rows of a batch, T tokens of a row, M tokens of a batch that are learned.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tunewright.job.batches.side import Array, Batch
from tunewright.job.batches.text import NO_LABEL, EncodedSplit

Ids = NDArray[np.int64]


class CausalRows:
    """Rows of token ids with what follows each, as the training loop reads them.

    A row may hold several examples, told apart by their segments. None of them sees another: attention stays within a
    segment, and positions begin anew in each.
    """

    def __init__(self, split: EncodedSplit, pad: int, *, windowed: bool = False) -> None:
        """`windowed`: the model looks at the nearest tokens only."""
        self._split, self._pad, self._windowed = split, pad, windowed
        self.lengths, self.truncated = split.lengths, split.truncated
        self.flat = False

    def __len__(self) -> int:
        return len(self._split)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Token ids `[B, T]`, what they may see, and the tokens to be learned `[M]`."""
        if self.flat:
            return self._flat(rows)
        ids = self._padded(self._split.ids, rows, self._pad)
        labels = self._padded(self._split.labels, rows, NO_LABEL)
        # Two segments that touch differ in their type id.
        kinds = self._padded(self._split.type_ids, rows, -1)
        segments = np.cumsum(np.diff(kinds, axis=1, prepend=kinds[:, :1]) != 0, axis=1)
        learned = labels != NO_LABEL
        arrays = {"input_ids": ids, "learned": learned, "targets": labels[learned]}
        if (segments * (kinds >= 0)).any():
            arrays["position_ids"] = _positions(segments)
            # A mask of ours would go before that of the window; transformers tells the segments by their positions.
            if not self._windowed:
                arrays["attention_mask"] = _within(segments)
        else:
            arrays["attention_mask"] = (kinds >= 0).astype(np.int64)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _flat(self, rows: Sequence[int]) -> Batch:
        """All rows as one, `[1, T]`, with the bounds of their texts."""
        places = [slice(self._split.starts[row], self._split.starts[row + 1]) for row in rows]
        ids, labels, kinds = (
            np.concatenate([values[place] for place in places])
            for values in (self._split.ids, self._split.labels, self._split.type_ids)
        )
        begins = np.diff(kinds, prepend=-1) != 0
        begins[np.cumsum([0, *self.lengths[list(rows)]])[:-1]] = True
        bounds = np.append(np.flatnonzero(begins), len(ids))
        lengths = np.diff(bounds)
        learned = labels != NO_LABEL
        arrays = {
            "input_ids": ids[None].astype(np.int64),
            "position_ids": (np.arange(len(ids)) - np.repeat(bounds[:-1], lengths))[None],
            "learned": learned[None],
            "targets": labels[learned].astype(np.int64),
            "cu_seq_lens_q": bounds.astype(np.int32),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _padded(self, values: NDArray[np.int32] | NDArray[np.int8], rows: Sequence[int], fill: int) -> Ids:
        starts = self._split.starts
        padded = np.full((len(rows), int(self.lengths[list(rows)].max())), fill, dtype=np.int64)
        for at, row in enumerate(rows):
            padded[at, : self.lengths[row]] = values[starts[row] : starts[row + 1]]
        return padded


def _within(segments_BT: Ids) -> Array:
    """What is added to attention `[B, 1, T, T]`: nothing where a token sees itself or one before it in its segment."""
    same = segments_BT[:, :, None] == segments_BT[:, None, :]
    seen = same & np.tri(segments_BT.shape[1], dtype=bool)
    return np.where(seen, np.float32(0), np.finfo(np.float32).min)[:, None]


def _positions(segments_BT: Ids) -> Ids:
    """The place of each token in its segment."""
    places = np.arange(segments_BT.shape[1])
    begins = np.diff(segments_BT, axis=1, prepend=-1) != 0
    return np.asarray(places - np.maximum.accumulate(np.where(begins, places, 0), axis=1), dtype=np.int64)


def following(ids: Sequence[int], learned: Sequence[bool]) -> list[int]:
    """What is to be learned at each token of a row: the next one, where that is learned."""
    ahead = [token if wanted else NO_LABEL for token, wanted in zip(ids[1:], learned[1:], strict=True)]
    return [*ahead, NO_LABEL]


Segment = tuple[list[int], list[int]]
"""Token ids and the label at each."""


def packed(documents: Iterable[Sequence[int]], length: int) -> Iterator[list[Segment]]:
    """Documents cut into rows of `length` tokens, the pieces of a row apart.

    A piece of one token teaches nothing: none begins in the last place of a row, and one that is left over is dropped.
    """
    row: list[Segment] = []
    room = length
    for document in documents:
        rest = list(document)
        while len(rest) > 1:
            piece, rest = rest[:room], rest[room:]
            row.append((piece, following(piece, [True] * len(piece))))
            room -= len(piece)
            if room < 2:
                yield row
                row, room = [], length
    if row:
        yield row
