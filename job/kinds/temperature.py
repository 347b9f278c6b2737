"""Scores that mean what they say: the temperature of each variant, from the validation rows."""

import numpy as np

from tunewright.job.kinds.plan import Plan
from tunewright.job.measure.calibration import fit_temperature, nll
from tunewright.job.measure.faithfulness import spread
from tunewright.job.progress.events import say
from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.predictor import Predictor

_MOST_ROWS = 5_000
"""Validation rows that are read for it."""


def calibrated(draft: ModelFile, predictor: Predictor, plan: Plan) -> ModelFile:
    """The description with what the validation rows say of the variant that is open; as it is where there are none, or
    where the task has no scores to make true."""
    part = plan.prepared.validation
    if len(part) > _MOST_ROWS:
        part = part.select(np.array(spread(len(part), _MOST_ROWS), dtype=np.int64))
    found = plan.prepared.task.target.outcomes(predictor, part, plan) if len(part) else None
    if found is None:
        return draft
    name, temperature = predictor.variant, fit_temperature(found)
    before, after = nll(found, 1.0), nll(found, temperature)
    said = f"{temperature:.3f} (log loss {before:.4f} -> {after:.4f})" if temperature != 1.0 else "stays 1"
    rows = len(np.unique(found.rows))
    say("calibrate", f"{name}: temperature {said} on {rows:,} validation rows", variant=name, temperature=temperature)
    variant = draft.variants[name].model_copy(update={"temperature": temperature})
    return draft.model_copy(update={"variants": {**draft.variants, name: variant}})
