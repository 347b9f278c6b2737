"""Weights in shards: of several processes each holds a share of the weights, their gradients and the optimizer's state,
and puts a layer together while it computes it (FSDP2 of torch)."""

import copy
from collections.abc import Callable
from types import TracebackType
from typing import Self

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from tunewright.job.checkpoints.files import Snapshot
from tunewright.job.checkpoints.keeper import Checkpoints
from tunewright.job.errors import SettingsError
from tunewright.job.model.layers import blocks
from tunewright.job.progress.events import warn
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.distributed import World, world

Weights = dict[str, torch.Tensor]


def in_shards(model: nn.Module, settings: TrainSettings) -> nn.Module:
    """The model itself, or where `train.parallel` asks for it a copy whose weights are shared out to the processes."""
    if settings.parallel != "fsdp":
        return model
    if not blocks(model):
        raise SettingsError("train.parallel is fsdp, but this model has no stack of layers to share out; set it to ddp")
    others = world()
    if others.size == 1:
        warn("train", "train.parallel is fsdp, and this is one process: it holds all weights itself")
        return model
    shared = copy.deepcopy(model)
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (others.size,))
    for part in (*blocks(shared), shared):
        made = fully_shard(part, mesh=mesh, reshard_after_forward=True)
        # gloo has no mean.
        made.set_force_sum_reduction_for_comms(mesh.device_type == "cpu")
    return shared


def is_in_shards(model: nn.Module) -> bool:
    """Whether each process holds a share of it."""
    return isinstance(model, FSDPModule)


def put_together(model: nn.Module, shards: nn.Module) -> nn.Module:
    """The model with the weights of its copy in shards, on the first process; on others it is as it was."""
    if model is shards:
        return model
    state = {name: on_first(tensor) for name, tensor in shards.state_dict().items()}
    if world().is_first:
        model.load_state_dict(state)
    return model


def load_state(model: nn.Module, weights: Weights, *, strict: bool) -> None:
    """Put weights into a model; into one in shards those of the first process."""
    if not is_in_shards(model):
        model.load_state_dict(weights, strict=strict)
        return
    state = model.state_dict()
    for name, tensor in weights.items():
        own = state[name]
        if isinstance(own, DTensor):
            given = tensor if world().is_first else torch.empty(own.shape, dtype=own.dtype)
            tensor = distribute_tensor(given.to(own.device), own.device_mesh, own.placements)
        own.copy_(tensor)


def together(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of which each process has a share, put together on all of them."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def on_first(tensor: torch.Tensor) -> torch.Tensor:
    """The same, in the memory of the first process and on no device; of a tensor in shards others get nothing."""
    if not isinstance(tensor, DTensor):
        return tensor
    made = tensor.full_tensor()
    return made.cpu() if world().is_first else torch.empty(0, dtype=tensor.dtype)


def shared_like(tensor: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """This process's share of a tensor that all of them have, as it has one of the weight it belongs to."""
    if not isinstance(weight, DTensor) or tensor.shape != weight.shape:
        return tensor
    return distribute_tensor(tensor.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None)


class SharedCheckpoints:
    """The checkpoints of weights in shards: all processes put the state together, the first one keeps it."""

    def __init__(self, kept: Checkpoints | None, others: World) -> None:
        self._kept, self._others = kept, others

    def __enter__(self) -> Self:
        if self._kept:
            self._kept.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._kept:
            self._kept.__exit__(kind, error, traceback)

    def is_due(self, step: int) -> bool:
        """Whether the first process asks for one after this step."""
        return self._others.same(bool(self._kept and self._kept.is_due(step)))

    def save(self, take: Callable[[], Snapshot]) -> None:
        """Take a snapshot together, and have the first process write it."""
        snapshot = take()
        if self._kept:
            self._kept.save(lambda: snapshot)

    def newest(self) -> Snapshot | None:
        """Of the first process; None on others."""
        return self._kept.newest() if self._kept else None

    def last(self) -> object:
        """Of the first process; None on others."""
        return self._kept.last() if self._kept else None


AnyCheckpoints = Checkpoints | SharedCheckpoints | None


def checkpoints_of(model: nn.Module, kept: Checkpoints | None) -> AnyCheckpoints:
    """What a run of this model keeps of itself."""
    return SharedCheckpoints(kept, world()) if is_in_shards(model) and world().size > 1 else kept
