"""What makes two tries one run: all that decides what is learned."""

import hashlib
from importlib import metadata
from pathlib import Path

import torch
from torch import nn

from tunewright.job.checkpoints.digest import digest
from tunewright.job.checkpoints.files import Identity
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.checkpoints.mirror import Mirror
from tunewright.job.kinds.plan import Plan
from tunewright.job.steps.run.run_id import SIDES, rows_of
from tunewright.registry.variables import flat

_DECIDING = {"task", "options", "data", "train", "adapt", "metrics"}
"""The base model and the files are told by their digests, wherever they lie."""


def open_checkpoints(plan: Plan, folder: Path, mirror: Mirror | None = None) -> Checkpoints:
    """The checkpoints of a run, of which those of another one are refused; in a bucket too where there is a mirror."""
    return Checkpoints(folder, _identity(plan), plan.settings.train.checkpoint, mirror)


def digest_of_taught(model: nn.Module, plan: Plan) -> str:
    """Of all that decides what comes of a model that has learned: its weights, the plan, and what exports it."""
    weights = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        weights.update(name.encode())
        if isinstance(tensor, torch.Tensor):
            weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    versions = {name: metadata.version(name) for name in ("torch", "transformers", "onnx", "onnxruntime", "tunewright")}
    return digest([weights.hexdigest(), digest_of(plan), versions])


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
