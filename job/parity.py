"""Torch and ONNX on the same real rows: the file that will be served computes what was trained."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from job.errors import JobError
from job.export import graph_inputs
from serving.encoding import Encoded
from serving.predictor import Predictor


@dataclass(frozen=True)
class Parity:
    """How far two sets of logits are apart."""

    rows: int
    largest: float
    """Largest absolute difference of a logit, in units of the logits."""
    agreement: float
    """Share of rows with the same largest logit."""


def compare(model: nn.Module, predictor: Predictor, rows: Sequence[Encoded], *, unit: float = 1.0) -> Parity:
    """Run both on the same rows, one row at a time in torch, as planned by the predictor in ONNX.

    `unit` is the unit of the logits: 1, or the standard deviation of a regression's targets.
    """
    names = graph_inputs(model.config)
    with torch.no_grad():
        singles = [
            model(**{name: torch.from_numpy(array) for name, array in predictor.encoder.pad([row], names).items()})[
                "logits"
            ]
            for row in rows
        ]
    expected = torch.cat(singles).float().numpy()
    answered = predictor.run(rows)
    same = expected.argmax(axis=-1) == answered.argmax(axis=-1)
    return Parity(len(rows), float(np.abs(expected - answered).max()) / unit, float(same.mean()))


def require(parity: Parity, tolerance: float) -> None:
    """JobError unless the difference is a number and within the tolerance."""
    # `not <=` also refuses NaN, which compares false with everything.
    if not parity.largest <= tolerance:
        raise JobError(
            f"parity failed: on {parity.rows} validation rows the fp32 ONNX file differs from torch by up to "
            f"{parity.largest:.3g} (allowed: {tolerance:g}); nothing was registered"
        )
