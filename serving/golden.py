"""Golden cases: real inputs with the outputs recorded at export, replayed before a server takes traffic."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from serving.bundle import Golden
from serving.errors import BundleError, InputError
from serving.predictor import Predictor
from serving.tasks import TASKS


def replay(predictor: Predictor) -> int:
    """Compare each golden case with what this machine answers; the number of cases, or BundleError for a difference."""
    tolerance = predictor.model.variants[predictor.variant].golden_tolerance
    cases = [case for case in predictor.model.golden if predictor.variant in case.outputs]
    if not cases:
        raise BundleError(
            f"model.json holds no golden case of the variant {predictor.variant}, so that nothing tells whether this "
            "machine computes what was measured"
        )
    _check_tolerance(tolerance, cases, predictor.variant)
    outputs = predictor.outputs([_read(case, number, predictor) for number, case in enumerate(cases)])
    for number, (case, answer) in enumerate(zip(cases, outputs, strict=True)):
        expected = np.asarray(case.outputs[predictor.variant], dtype=np.float32)
        if expected.size != answer.size:
            raise BundleError(f"golden case {number} has {expected.size} numbers, but the model gives {answer.size}")
        difference = float(np.abs(expected - answer.ravel()).max(initial=0))
        if not difference <= tolerance:
            raise BundleError(
                f"golden case {number} of variant {predictor.variant} differs by {difference:.4g} from what was "
                f"recorded at export (allowed: {tolerance:g}): this machine does not compute what was measured"
            )
    return len(cases)


def _check_tolerance(tolerance: float, cases: Sequence[Golden], variant: str) -> None:
    """A tolerance beyond the recorded numbers themselves lets everything pass."""
    largest = max((abs(number) for case in cases for number in case.outputs[variant]), default=0.0)
    if tolerance > max(1.0, largest):
        raise BundleError(
            f"golden_tolerance of the variant {variant} is {tolerance:g}, beyond every number that was recorded (the "
            f"largest is {largest:g}): nothing would be compared"
        )


def _read(case: Golden, number: int, predictor: Predictor) -> Any:
    try:
        inputs, are_many = TASKS[predictor.model.task].read_inputs(case.inputs, predictor.model)
    except InputError as error:
        raise BundleError(f"golden case {number} is no input of this model: {error}") from error
    if are_many:
        raise BundleError(f"golden case {number} is no input of this model: it reads one input, not a list of them")
    return inputs[0]
