"""How many epochs, where the settings do not say: three, and more where the rows make few steps."""

import math

from tunewright.job.kinds.plan import Plan
from tunewright.job.progress.events import say

_STEPS = 300
"""Optimizer steps below which a new head and a small rate have not come far."""
_MOST = 20
"""Epochs of the smallest data."""


def with_epochs(plan: Plan, rows: int) -> Plan:
    """The plan with as many epochs as its training rows need, unless they are set or a preset stands for them.

    Only where there are validation rows, which tell the epoch that is kept; pairs of few labels are many as it is.
    """
    train = plan.settings.train
    is_said = "epochs" in train.model_fields_set or train.preset != "balanced"
    if is_said or train.few_shot or not len(plan.prepared.validation):
        return plan
    steps = max(1, math.ceil(rows / (train.batch_size * train.accumulation)))
    epochs = min(_MOST, max(train.epochs, math.ceil(_STEPS / steps)))
    if epochs == train.epochs:
        return plan
    say(
        "train",
        f"up to {epochs} epochs in place of {train.epochs}, as {rows:,} rows are {steps} steps an epoch; train.epochs "
        "sets another number",
        epochs=epochs,
    )
    return plan.with_train(epochs=epochs)
