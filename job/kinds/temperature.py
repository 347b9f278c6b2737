"""Scores that mean what they say, from the validation rows: the temperature of each variant, and the score from which
its answers are sure enough."""

import numpy as np

from tunewright.job.kinds.plan import Plan
from tunewright.job.measure.calibration import Outcomes, best_scores, fit_temperature, nll
from tunewright.job.measure.faithfulness import spread
from tunewright.job.measure.rows.coverage import answered_from
from tunewright.job.progress.events import say, warn
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
    least = sure_from(found, temperature, name, plan.settings.export.abstain)
    variant = draft.variants[name].model_copy(update={"temperature": temperature, "min_score": least})
    return draft.model_copy(update={"variants": {**draft.variants, name: variant}})


def sure_from(found: Outcomes, temperature: float, name: str, risk: float | None) -> float | None:
    """The score from which surely at most `risk` of the answers are wrong; None where none is asked for, or reached."""
    if risk is None:
        return None
    point, rows = answered_from(*best_scores(found, temperature), risk), len(found.logits)
    if point is None:
        warn(
            "abstain",
            f"{name}: no score from which surely at most {risk:.2%} of the answers are wrong, on {rows:,} validation "
            "rows; the version has no min_score for it: raise export.abstain, or hold out more rows",
        )
        return None
    say(
        "abstain",
        f"{name}: from a score of {point.score:.3f} on {point.risk.value:.2%} of the answers are wrong, surely at most "
        f"{risk:.2%}, and {point.coverage:.1%} of {rows:,} validation rows are answered",
        variant=name,
        min_score=point.score,
    )
    return point.score
