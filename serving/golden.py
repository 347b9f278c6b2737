"""Golden cases: real inputs with the outputs recorded at export, replayed before a server takes traffic."""

from collections.abc import Sequence

import numpy as np

from tunewright.serving.bundle.model_file import Golden
from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.predictor import Predictor

TOLERANCE = {"fp32": 1e-3, "int8": 0.5}
"""Largest difference of a golden output on another machine (of a regression: in standard deviations of the targets).
fp32 differs in the order of its sums. int8 differs where a processor rounds a scale the other way."""


def replay(predictor: Predictor) -> int:
    """Compare each golden case with what this machine answers; the number of cases, or BundleError for a difference."""
    tolerance = predictor.model.variants[predictor.variant].golden_tolerance
    cases = [case for case in predictor.model.golden if predictor.variant in case.outputs]
    if not cases:
        raise BundleError(
            f"model.json holds no golden case of the variant {predictor.variant}, so that nothing tells whether this "
            "machine computes what was measured"
        )
    _check_tolerance(tolerance, cases, predictor)
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


def _check_tolerance(tolerance: float, cases: Sequence[Golden], predictor: Predictor) -> None:
    """A tolerance beyond what the job itself allows lets another model pass."""
    name = predictor.variant
    most = TOLERANCE.get(name, TOLERANCE["fp32"]) * _unit(cases, predictor)
    if tolerance > most:
        raise BundleError(
            f"golden_tolerance of the variant {name} is {tolerance:g}; at most {most:.4g} is allowed: another model "
            "would pass"
        )


def _unit(cases: Sequence[Golden], predictor: Predictor) -> float:
    """Of the outputs: 1; of a regression at most what its targets can deviate by.

    Those deviate by no more than the answers and the errors do (the triangle inequality), twice that on other rows.
    """
    if predictor.model.problem != "regression":
        return 1.0
    largest = max((abs(number) for case in cases for number in case.outputs[predictor.variant]), default=0.0)
    return 2 * (largest + predictor.model.variants[predictor.variant].metrics.get("rmse", 0.0))


def _read(case: Golden, number: int, predictor: Predictor) -> object:
    try:
        inputs, are_many = predictor.task.read_inputs(case.inputs, predictor.model)
    except InputError as error:
        raise BundleError(f"golden case {number} is no input of this model: {error}") from error
    if are_many:
        raise BundleError(f"golden case {number} is no input of this model: it reads one input, not a list of them")
    return inputs[0]
