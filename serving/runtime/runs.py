"""Which rows share a run of a graph, and what no run may answer."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tunewright.serving.errors import ModelFault
from tunewright.serving.runtime.scores import FEW
from tunewright.serving.runtime.session import Array


def require_finite(output: Array) -> None:
    """ModelFault for NaN or infinity, of which no answer can be made."""
    if not is_finite(output):
        raise not_finite()


def is_finite(output: Array) -> bool:
    """Whether all of it are numbers."""
    if output.size <= FEW:
        return all(map(math.isfinite, output.ravel().tolist()))
    return bool(np.isfinite(output).all())


def not_finite() -> ModelFault:
    """What is wrong with such an output."""
    return ModelFault("the model answered with a number that is not finite; its graph or its weights are broken")


def finite(outputs: Iterable[Array]) -> Iterator[Array]:
    """Each output, checked."""
    for output in outputs:
        require_finite(output)
        yield output


def plan_runs(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Row indices of each run: by length, filled while rows x longest stays within `tokens`; 0: one row a run."""
    runs: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if runs and (len(runs[-1]) + 1) * lengths[index] <= tokens:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
