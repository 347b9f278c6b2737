"""Batches of rows of like length: little padding, and still a new random order in every epoch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

_POOL = 50
"""Batches whose rows are sorted together. Large enough that neighbours are of one length (on SST-2 under 3 % of a
batch is padding), small enough that an epoch still mixes the rows."""


@dataclass(frozen=True)
class Share:
    """What one of several processes takes of each step."""

    rank: int = 0
    size: int = 1
    whole: bool = False
    """Whether batches are dealt, not their rows: the loss of a batch is not the mean of those of its rows."""
    alike: bool = False
    """Whether all processes have as many parts of a step: they meet at each, not only at the last one."""

    def of(self, batches: list[list[int]]) -> list[list[int]]:
        """Of the batches of a step, each row or batch for one process."""
        if self.whole:
            return batches[self.rank :: self.size]
        own, before = [], 0
        for batch in batches:
            # Rows of a batch stand in the order of their lengths, so each process gets long and short ones.
            own.append(batch[(self.rank - before) % self.size :: self.size])
            before += len(batch)
        return [batch for batch in own if batch]


_ALL = Share()
Step = list[list[int]]
"""The rows that go through the model at a time."""


@dataclass(frozen=True)
class Steps(Sequence[Step]):
    """The steps of an epoch, or some of them. Each is made when it is asked for: a list of all row numbers is large."""

    numbers: range
    make: Callable[[int], Step]

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, at: int) -> Step: ...

    @overload
    def __getitem__(self, at: slice) -> "Steps": ...

    def __getitem__(self, at: int | slice) -> "Step | Steps":
        return Steps(self.numbers[at], self.make) if isinstance(at, slice) else self.make(self.numbers[at])


class LengthGroupedBatches:
    """A batch sampler: draws rows at random into pools, sorts each pool by length, deals batches in random order."""

    def __init__(
        self,
        lengths: NDArray[np.int64],
        batch_size: int,
        seed: int,
        *,
        accumulation: int = 1,
        room: int | None = None,
        share: Share = _ALL,
    ) -> None:
        self._lengths, self._seed = lengths, seed
        self._accumulation, self._room, self._share = accumulation, room, share
        self.batch_size = batch_size
        self.drop_last = False
        self.epoch = 0
        self.done = 0
        """Steps of the current epoch that are left out: a resumed run has made them."""
        self.halvings = 0
        """How often the room was halved, since the memory did not hold it."""

    @property
    def room(self) -> int | None:
        """Tokens that go through the model at a time; None where batches are not divided."""
        return self._room and max(1, self._room >> self.halvings)

    def tokens(self, part: list[int]) -> int:
        """What goes through the model with these rows, padding included."""
        return len(part) * int(self._lengths[part].max())

    def __len__(self) -> int:
        return -(-len(self._lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """What goes through the model at a time in what is left of the current epoch: batches, or parts of those that
        are too large."""
        for step in self.steps()[self.done :]:
            yield from step

    def steps(self) -> Steps:
        """The steps of the current epoch, each as the rows that go through the model at a time: `accumulation` batches,
        none of which holds more than `room` tokens with its padding, but for a single row that does. Of several
        processes each has its share; one for which nothing is left of a step has an empty part."""
        rows, order = self._drawn()
        size, several, room = self.batch_size, self._accumulation, self.room

        def step(number: int) -> Step:
            places = order[number * several : (number + 1) * several].tolist()
            return self._dealt([rows[at * size : (at + 1) * size].tolist() for at in places], room)

        return Steps(range(-(-len(order) // several)), step)

    def _dealt(self, group: list[list[int]], room: int | None) -> Step:
        """What goes through the model at a time of a step."""

        def parts(share: Share) -> list[list[int]]:
            return [part for batch in share.of(group) for part in self._parts(batch, room)]

        own, share = parts(self._share), self._share
        others = [len(parts(replace(share, rank=rank))) for rank in range(share.size)] if share.alike else []
        return own + [[]] * (max([1, *others]) - len(own))

    def _parts(self, batch: list[int], room: int | None) -> list[list[int]]:
        if room is None:
            return [batch]
        parts: list[list[int]] = []
        longest = 0
        for row in batch:
            longest = max(longest, int(self._lengths[row]))
            if not parts or longest * (len(parts[-1]) + 1) > room:
                parts.append([])
                longest = int(self._lengths[row])
            parts[-1].append(row)
        return parts

    def _drawn(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of the current epoch, those of a batch side by side, and the order of the batches; the same for the
        same seed and epoch."""
        random = np.random.default_rng([self._seed, self.epoch])
        rows = random.permutation(len(self._lengths))
        pool = self.batch_size * _POOL
        for start in range(0, len(rows), pool):
            part = rows[start : start + pool]
            rows[start : start + pool] = part[np.argsort(self._lengths[part], kind="stable")]
        return rows, random.permutation(len(self))
