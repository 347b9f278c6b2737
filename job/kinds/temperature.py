"""Scores that mean what they say: the temperature of each variant, from the validation rows."""

from collections.abc import Mapping

import numpy as np

from tunewright.job.kinds.plan import Part, Plan
from tunewright.job.measure.calibration import Outcomes, fit_temperature, nll
from tunewright.job.measure.faithfulness import spread
from tunewright.job.progress.events import say
from tunewright.serving.bundle.model_file import ModelFile
from tunewright.serving.predictor import Predictor

_MOST_ROWS = 5_000
"""Validation rows that are read for it."""


def calibrated(draft: ModelFile, predictor: Predictor, plan: Plan) -> ModelFile:
    """The description with what the validation rows say of the variant that is open; as it is where there are none, or
    where the task has no scores to make true."""
    found = _outcomes(predictor, plan)
    if found is None:
        return draft
    name, temperature = predictor.variant, fit_temperature(found)
    before, after = nll(found, 1.0), nll(found, temperature)
    said = f"{temperature:.3f} (log loss {before:.4f} -> {after:.4f})" if temperature != 1.0 else "stays 1"
    rows = len({*found.rows.tolist()})
    say("calibrate", f"{name}: temperature {said} on {rows:,} validation rows", variant=name, temperature=temperature)
    return _with(draft, name, {"temperature": temperature})


def _outcomes(predictor: Predictor, plan: Plan) -> Outcomes | None:
    part = plan.prepared.validation
    if not len(part):
        return None
    return plan.prepared.task.target.outcomes(predictor, some_of(part, _MOST_ROWS), plan)


def some_of(part: Part, most: int) -> Part:
    """Up to so many rows, evenly spread."""
    return part if len(part) <= most else part.select(np.array(spread(len(part), most), dtype=np.int64))


def _with(draft: ModelFile, name: str, found: Mapping[str, object]) -> ModelFile:
    variant = draft.variants[name].model_copy(update=found)
    return draft.model_copy(update={"variants": {**draft.variants, name: variant}})
