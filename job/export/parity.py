"""Torch and ONNX on the same real rows: the file that will be served computes what was trained."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.job.batches.side import Array
from tunewright.job.errors import JobError


@dataclass(frozen=True)
class Parity:
    """How far two sets of raw outputs are apart."""

    rows: int
    largest: float
    """Largest absolute difference of a number, in units of the outputs."""
    agreement: float
    """Share of the rows (or tokens) with the same largest logit."""


def compare(
    expected: Sequence[Array], answered: Sequence[Array], *, unit: float = 1.0, origin: str = "torch"
) -> Parity:
    """Outputs of the model (`origin` says where) and of ONNX for the same inputs, one array `[..., L]` per input.

    `unit` is the unit of the outputs: 1, or the standard deviation of a regression's targets.
    """
    largest, same = 0.0, []
    for torch_output, onnx_output in zip(expected, answered, strict=True):
        if torch_output.shape != onnx_output.shape:
            raise JobError(
                f"parity failed: {origin} answers with the shape {torch_output.shape}, "
                f"the ONNX file with {onnx_output.shape}; nothing was registered"
            )
        difference = np.abs(torch_output - onnx_output)
        # `max` would pass over NaN, which compares false with everything.
        largest = float(np.maximum(largest, difference.max(initial=0)))
        same.append(np.atleast_1d(torch_output.argmax(axis=-1) == onnx_output.argmax(axis=-1)).ravel())
    return Parity(len(expected), largest / unit, float(np.concatenate(same).mean()))


def require(parity: Parity, tolerance: float, origin: str = "torch") -> None:
    """JobError unless the difference is a number and within the tolerance."""
    # `not <=` also refuses NaN, which compares false with everything.
    if not parity.largest <= tolerance:
        raise JobError(
            f"parity failed: on {parity.rows} validation rows the fp32 ONNX file differs from {origin} by up to "
            f"{parity.largest:.3g} (allowed: {tolerance:g}); nothing was registered"
        )
