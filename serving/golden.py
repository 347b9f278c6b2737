"""Golden cases: real inputs with the outputs recorded at export, replayed before a server takes traffic."""

import numpy as np

from serving.errors import BundleError
from serving.predictor import Predictor


def replay(predictor: Predictor) -> int:
    """Compare each golden case with what this machine answers; the number of cases, or BundleError for a difference."""
    tolerance = predictor.model.variants[predictor.variant].golden_tolerance
    cases = [case for case in predictor.model.golden if predictor.variant in case.logits]
    if not cases:
        return 0
    logits = predictor.logits([case.inputs for case in cases])
    for number, (case, answer) in enumerate(zip(cases, logits, strict=True)):
        expected = np.asarray(case.logits[predictor.variant], dtype=np.float32)
        if expected.shape != answer.shape:
            raise BundleError(f"golden case {number} has {expected.size} logits, but the model answers {answer.size}")
        difference = float(np.abs(expected - answer).max())
        if not difference <= tolerance:
            raise BundleError(
                f"golden case {number} of variant {predictor.variant} differs by {difference:.4g} from what was "
                f"recorded at export (allowed: {tolerance:g}): this machine does not compute what was measured"
            )
    return len(cases)
