"""Beginnings that several prompts share: the first who read them leave their caches to those who come."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.serving.generation.caches import Caches
from tunewright.serving.generation.sequences import Ids

_LEAST = 16
"""Tokens of a beginning that is worth a copy."""
_SEEN = 64
"""Prompts that a new one is compared with."""


@dataclass(frozen=True, slots=True)
class Known:
    """The first tokens of a prompt, read already."""

    tokens: int
    caches: Caches
    """One row, of at least so many tokens."""


class Prefixes:
    """What the last prompts had in common. A beginning is kept the second time it comes: most come once."""

    def __init__(self, tokens: int) -> None:
        """`tokens`: what is kept at most."""
        self._free = tokens
        self._seen: deque[Ids] = deque(maxlen=_SEEN)
        self._kept: list[tuple[Ids, Caches]] = []
        """The one that was used last comes last."""

    def longest(self, prompt: Sequence[int]) -> Known | None:
        """What is known of a prompt, less its last token, which has to be read for what follows it."""
        ids = np.array(prompt, np.int64)
        shared = [_shared(kept, ids[:-1]) for kept, _ in self._kept]
        best = max(range(len(shared)), key=shared.__getitem__, default=None)
        if best is None or shared[best] < _LEAST:
            return None
        self._kept.append(self._kept.pop(best))
        return Known(shared[best], self._kept[-1][1])

    def see(self, prompt: Sequence[int], known: Known | None, caches: Callable[[int], Caches]) -> None:
        """A prompt was read. `caches`: a copy of those of its first tokens."""
        ids = np.array(prompt, np.int64)
        tokens = max((_shared(seen, ids) for seen in self._seen), default=0)
        self._seen.append(ids)
        if tokens >= _LEAST + (known.tokens if known else 0):
            self._keep(ids[:tokens], caches)

    def _keep(self, ids: Ids, caches: Callable[[int], Caches]) -> None:
        # A longer one serves for those that it begins with.
        within = [place for place, (kept, _) in enumerate(self._kept) if _shared(kept, ids) == len(kept)]
        for place in reversed(within):
            self._drop(place)
        while self._kept and self._free < len(ids):
            self._drop(0)
        if len(ids) <= self._free:
            self._free -= len(ids)
            self._kept.append((ids, caches(len(ids))))

    def _drop(self, place: int) -> None:
        ids, _ = self._kept.pop(place)
        self._free += len(ids)


def _shared(one: Ids, other: Ids) -> int:
    """How many tokens two prompts have in common at their beginning."""
    size = min(len(one), len(other))
    differs = one[:size] != other[:size]
    return int(differs.argmax()) if differs.any() else size
