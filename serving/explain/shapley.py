"""How much each part of an input adds to a number: Shapley values, estimated from a few sets of parts.

The number is computed for sets in which some parts are hidden, and a weight for each part is fitted such that the
weights of the shown parts add up to it (Lundberg and Lee 2017, https://arxiv.org/abs/1705.07874, section 4.1). All
weights together are what the whole input has over nothing at all.

Axes: N parts, S sets, K numbers that are explained at the same time.
"""

from collections.abc import Iterator
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

Sets = NDArray[np.bool_]
"""`[S, N]`: which parts are shown in each set."""
Numbers = NDArray[np.float64]

_RIDGE = 1e-6
"""Where sets are too few to tell all parts apart, the smallest weights that fit are taken."""


def choose_sets(parts: int, rows: int, seed: int) -> Sets:
    """At most `rows` different sets beside the whole and the empty one: all of them where they are so few.

    Sets without one part and of one part alone come first, as they weigh most, then random ones, each with its
    complement. The same sets for the same arguments.
    """
    if parts < 2 or rows < 2:
        return np.zeros((0, parts), dtype=bool)
    chosen: list[Sets] = []
    left, size = rows, 1
    while size <= parts // 2 and left >= (both := _of_size(parts, size)):
        chosen += _all_of_size(parts, size)
        left, size = left - both, size + 1
    if size <= parts // 2:
        chosen += _random_sets(parts, size, left, np.random.default_rng(seed))
    return np.array(chosen, dtype=bool).reshape(-1, parts)


def fit_weights(sets_SN: Sets, values_SK: Numbers, whole_K: Numbers, empty_K: Numbers) -> Numbers:
    """The weight of each part for each number `[N, K]`; the weights of a number add up to `whole - empty`."""
    parts = sets_SN.shape[1]
    total_K = whole_K - empty_K
    if len(sets_SN) == 0:
        return np.tile(total_K / max(parts, 1), (parts, 1))
    shown_SN = sets_SN.astype(np.float64)
    importance_S = _importance(sets_SN)
    # The last part's weight is what is left of the total.
    design = shown_SN[:, :-1] - shown_SN[:, -1:]
    target = values_SK - empty_K - shown_SN[:, -1:] * total_K
    weighted = design * importance_S[:, None]
    normal = design.T @ weighted + _RIDGE * importance_S.sum() * (np.eye(parts - 1) + 1)
    first = np.linalg.solve(normal, weighted.T @ target + _RIDGE * importance_S.sum() * total_K)
    return np.concatenate([first, total_K[None] - first.sum(axis=0, keepdims=True)])


def _of_size(parts: int, size: int) -> int:
    """How many sets of this size there are, with those in which so many are hidden."""
    return comb(parts, size) * (1 if 2 * size == parts else 2)


def _all_of_size(parts: int, size: int) -> Iterator[Sets]:
    for members in combinations(range(parts), size):
        one = np.zeros(parts, dtype=bool)
        one[list(members)] = True
        if 2 * size != parts:
            yield ~one
        yield one


def _random_sets(parts: int, smallest: int, count: int, random: np.random.Generator) -> list[Sets]:
    """Different sets with at least so many parts shown and hidden, the smaller sizes more often."""
    sizes = np.arange(smallest, parts // 2 + 1)
    chance = 1 / (sizes * (parts - sizes))
    chance[-1] /= 2 if 2 * sizes[-1] == parts else 1
    found: dict[bytes, Sets] = {}
    for _ in range(4 * count):
        if len(found) + 2 > count:
            break
        one = np.zeros(parts, dtype=bool)
        one[random.permutation(parts)[: random.choice(sizes, p=chance / chance.sum())]] = True
        found |= {one.tobytes(): one, (~one).tobytes(): ~one}
    return list(found.values())


def _importance(sets_SN: Sets) -> Numbers:
    """What each set counts `[S]`: Shapley's kernel over all sets of a size, shared by those that were chosen."""
    parts = sets_SN.shape[1]
    sizes_S = sets_SN.sum(axis=1)
    smaller_S = np.minimum(sizes_S, parts - sizes_S)
    counts = np.bincount(smaller_S, minlength=parts)
    whole = np.array([count == _of_size(parts, size) for size, count in enumerate(counts)])
    kernel_S = (parts - 1) / (sizes_S * (parts - sizes_S))
    # Of sizes that are there in part the sets were drawn by the kernel: each counts the same, all together what the
    # kernel gives to all sets of these sizes.
    drawn_S = ~whole[smaller_S]
    importance_S = np.where(drawn_S, 0.0, kernel_S / counts[smaller_S] * (1 + (2 * smaller_S != parts)))
    if drawn_S.any():
        rest = set(range(1, parts)) - {int(size) for size in sizes_S[~drawn_S]}
        importance_S[drawn_S] = sum((parts - 1) / (size * (parts - size)) for size in rest) / drawn_S.sum()
    return np.asarray(importance_S, dtype=np.float64)
