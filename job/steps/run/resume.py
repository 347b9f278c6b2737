"""What makes two tries one run: all that decides what is learned."""

from pathlib import Path

from tunewright.job.checkpoints.digest import digest
from tunewright.job.checkpoints.files import Identity
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.kinds.plan import Plan
from tunewright.job.settings.entries import flat
from tunewright.job.steps.run.run_id import SIDES, rows_of

_DECIDING = {"task", "options", "data", "train", "adapt", "metrics"}
"""The base model and the files are told by their digests, wherever they lie."""


def open_checkpoints(plan: Plan, folder: Path) -> Checkpoints:
    """The checkpoints of a run, of which those of another one are refused."""
    return Checkpoints(folder, _identity(plan), plan.settings.train.checkpoint)


def digest_of(plan: Plan) -> str:
    """Of all that decides what is learned: the same in all processes that learn together."""
    identity = _identity(plan)
    return digest([identity.settings, identity.data])


def _identity(plan: Plan) -> Identity:
    settings = plan.settings.model_dump(
        mode="json",
        include=_DECIDING,
        exclude={"data": set(SIDES), "train": {"checkpoint"}, "adapt": {"data": set(SIDES)}},
    )
    facts = [plan.prepared.facts, *([plan.adaptation.plan.prepared.facts] if plan.adaptation else [])]
    data = {"base": plan.base.digest, "labels": plan.prepared.labels, "rows": [rows_of(one) for one in facts]}
    return Identity(dict(flat(settings)), digest(data))
