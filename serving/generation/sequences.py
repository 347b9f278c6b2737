"""The tokens of an answer in progress, and when it is complete.

Axes: K rows, W columns of tokens, R tokens that are candidates for a row.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # engines that write nothing know the words for the end of an answer, too
    from tunewright.serving.generation.settings import GenerationSettings

Ids = NDArray[np.int64]
Index = NDArray[np.intp]
Finish = Literal["eos", "stop", "length"]
FINISH: Mapping[Finish, str] = {"eos": "eos_token", "stop": "stop_sequence", "length": "length"}
"""Why an answer ended, in the words of text-generation-inference."""
Decode = Callable[[Sequence[int]], str]
OnText = Callable[[str], None]
"""Called with each piece that an answer goes on with. What it raises ends the writing."""

_TOKENS_PER_CHARACTER = 4
"""A character takes at most so many tokens: one for each byte of it."""


class Sequences:
    """The rows that one prompt is answered by: what they began with and what was chosen since. Beams are several."""

    def __init__(self, beginning: Sequence[int], most: int) -> None:
        """One row. `most`: how many tokens may be added to it."""
        self.most = most
        self._beginning = len(beginning)
        self._tokens_KW = np.array([beginning], dtype=np.int64)

    @property
    def length(self) -> int:
        """Tokens of a row, its beginning included."""
        return int(self._tokens_KW.shape[1])

    @property
    def new(self) -> int:
        """Tokens added to a row."""
        return self.length - self._beginning

    def row(self, index: int) -> Ids:
        """Everything in a row, its beginning included."""
        row: Ids = self._tokens_KW[index]
        return row

    def answer(self, index: int) -> list[int]:
        """What was added to a row."""
        added: list[int] = self._tokens_KW[index, self._beginning :].tolist()
        return added

    def append(self, tokens_K: Ids) -> None:
        """Add one token to each row."""
        self._tokens_KW = np.concatenate([self._tokens_KW, tokens_K[:, None]], axis=1)

    def take(self, rows: Index) -> None:
        """Reorder, repeat or drop rows."""
        self._tokens_KW = self._tokens_KW[rows]


class Endings:
    """What completes an answer: an end token, a stop string, the limit of tokens."""

    def __init__(self, settings: "GenerationSettings", decode: Decode | None) -> None:
        """`decode`: ids to text, needed where there are stop strings."""
        self._eos = frozenset(settings.eos)
        self._stops = settings.stops
        self._window = _TOKENS_PER_CHARACTER * (max(map(len, self._stops), default=0) + 1)
        if self._stops and decode is None:
            raise ValueError("stop strings need a decode function")
        self._decode = decode

    def of(self, rows: Index, tokens_R: Ids, sequences: Sequences) -> list[Finish | None]:
        """Why each of these rows is complete once the token follows; None where it is not."""
        return [self._of(int(row), token, sequences) for row, token in zip(rows, tokens_R.tolist(), strict=True)]

    def _of(self, row: int, token: int, sequences: Sequences) -> Finish | None:
        if token in self._eos:
            return "eos"
        if self._stops and self._is_stopped([*sequences.answer(row), token]):
            return "stop"
        return "length" if sequences.new + 1 >= sequences.most else None

    def _is_stopped(self, answer: list[int]) -> bool:
        """Whether a stop string is there. Earlier ones ended the row, so that the last tokens are enough."""
        assert self._decode is not None
        text = self._decode(answer[-self._window :])
        return any(stop in text for stop in self._stops)


def left_padded(rows: Sequence[Sequence[int]]) -> Ids:
    """Rows of unequal length as one array `[N, W]`, zeros before the shorter ones."""
    width = max(map(len, rows))
    padded = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, width - len(row) :] = row
    return padded
