"""The optimizer: AdamW in fp32, or with its running means in eight bits."""

from importlib.util import find_spec

import torch
from torch import nn

from tunewright.job.errors import SettingsError
from tunewright.job.model.layers import parameter_groups
from tunewright.job.settings.train import TrainSettings


def make_optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """What learns, by rate and decay; SettingsError where a package is missing."""
    groups = parameter_groups(model, settings)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=True)
    if not find_spec("bitsandbytes"):
        raise SettingsError(
            "train.optimizer is adamw_8bit, which needs the package bitsandbytes, and that is not installed: "
            "pip install 'tunewright[qlora]', or set adamw"
        )
    # Imported here: it takes seconds.
    from bitsandbytes.optim.adamw import AdamW8bit

    optimizer: torch.optim.Optimizer = AdamW8bit(groups)  # type: ignore[no-untyped-call]
    return optimizer
