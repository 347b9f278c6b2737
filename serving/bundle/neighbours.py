"""Training rows that a version carries with their vectors, and those that are nearest to another vector.

`vectors.npy` holds unit vectors `[N, D]` in float16, `rows.jsonl` what is told of each row. Both stay on disk: what is
asked for is read. Axes: N rows, D numbers of a vector.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.errors import BundleError
from tunewright.serving.runtime.scores import normalized

FOLDER = "neighbours"
VECTORS, ROWS = f"{FOLDER}/vectors.npy", f"{FOLDER}/rows.jsonl"
TEXT_CHARACTERS = 300
"""What is kept of a text."""
MOST_ROWS = 100_000

_COMPARED = 4096
"""Rows that are read and compared at a time."""

Told = dict[str, Any]
"""What is told of a row: its number `row`, its `label`, and its texts or the digest of its file."""


@dataclass(frozen=True)
class Neighbours:
    """The rows of a version. Open them with `open_neighbours`."""

    vectors_ND: NDArray[np.float16]
    lines: NDArray[np.uint8]
    """The bytes of the file of rows."""
    ends_N: NDArray[np.int64]
    """Where each of its lines ends."""

    def __len__(self) -> int:
        return len(self.ends_N)

    def row(self, number: int) -> Told:
        """What is told of one row."""
        start = int(self.ends_N[number - 1]) + 1 if number else 0
        told: Told = json.loads(self.lines[start : int(self.ends_N[number])].tobytes())
        return told

    def nearest(self, vector_D: NDArray[np.floating], count: int) -> list[Told]:
        """The rows whose vectors have the largest cosines with this one, with that `similarity`, the nearest first."""
        if vector_D.shape != self.vectors_ND.shape[1:]:
            raise BundleError(
                f"{VECTORS} holds vectors of {self.vectors_ND.shape[1]} numbers; the graph gives {vector_D.shape[-1]}"
            )
        wanted_D = normalized(vector_D)
        starts = range(0, len(self), _COMPARED)
        found = [self.vectors_ND[start : start + _COMPARED].astype(np.float32) @ wanted_D for start in starts]
        similar_N = np.clip(np.concatenate(found), -1, 1)
        best = np.argsort(-similar_N, kind="stable")[:count].tolist()
        return [{"similarity": float(similar_N[number]), **self.row(number)} for number in best]


def open_neighbours(folder: Path) -> Neighbours | None:
    """The rows that the bundle in this folder carries; None where it has none. BundleError for what are none."""
    if not (folder / VECTORS).is_file():
        return None
    try:
        vectors_ND = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False)
        lines = np.memmap(folder / ROWS, dtype=np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder / FOLDER} cannot be used: {error}") from error
    ends_N = np.flatnonzero(lines == ord("\n"))
    if vectors_ND.dtype != np.float16 or vectors_ND.ndim != 2 or not 0 < len(vectors_ND) == len(ends_N) <= MOST_ROWS:
        raise BundleError(
            f"{folder / FOLDER} cannot be used: {ROWS} has {len(ends_N):,} lines, {VECTORS} numbers of the type "
            f"{vectors_ND.dtype} and the shape {vectors_ND.shape}; expected float16 [N, D] for N lines, at most "
            f"{MOST_ROWS:,}"
        )
    return Neighbours(vectors_ND, lines, ends_N)
