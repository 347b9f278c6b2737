"""Several processes that learn one model: each takes its share of every step, the first one speaks and writes.

The processes are those of torch.distributed, started by torchrun. What they learn is what one process learns: a step
has the same rows, and its gradient is that of their mean, however they are dealt.
"""

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from tunewright.job import signals
from tunewright.job.checkpoints.files import Snapshot
from tunewright.job.errors import Interrupted, JobError, SettingsError, first_line
from tunewright.job.ranks import Place
from tunewright.job.train.faults.silence import watch_connections

Item = TypeVar("Item")
Made = TypeVar("Made")
Verdict = Callable[[BaseException], tuple[str, int]]
"""What an error says to people, and the exit code of the job."""

_OWN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
"""Variables that libraries read too, which would then deal rows and scale rates in ways of their own."""
_FAILED = "failed"
_PAUSE = 0.2
"""Seconds between two looks at what another process has told."""
_PATIENCE = 5.0
"""Seconds in which a process that ends for a reason of its own has told it."""


class AnotherFailed(JobError):
    """Another process of the job has ended first; this one ends with its sentence and its code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class World:
    """The processes of a job as one of them sees them; the only one where nothing else was joined."""

    def __init__(self, place: Place | None = None, store: Store | None = None) -> None:
        place = place or Place()
        self.rank, self.size, self.local, self._store = place.rank, place.size, place.local, store

    @property
    def is_first(self) -> bool:
        """Whether this is the one that speaks, writes and registers."""
        return self.rank == 0

    # What is told and waited for, in any stage.

    def tell(self, event: str, value: str = "") -> None:
        """Let the others know."""
        if self._store:
            self._store.set(event, value)

    def wait(self, *events: str) -> tuple[str, str]:
        """The first of these that was told, and its value. Ends where another process has failed."""
        assert self._store
        while True:
            self._raise_failure()
            for event in events:
                if self._store.check([event]):
                    return event, self._store.get(event).decode()
            time.sleep(_PAUSE)

    def tell_failure(self, sentence: str, code: int) -> None:
        """Say why this process ends, unless another one was first."""
        if self._store:
            said = json.dumps({"rank": self.rank, "sentence": sentence, "code": code})
            # Whoever kept what is told may be gone as well.
            with suppress(dist.DistError):
                self._store.compare_set(_FAILED, "", said)

    def _raise_failure(self) -> None:
        if not self._store or not self._store.check([_FAILED]):
            return
        said = json.loads(self._store.get(_FAILED))
        if said["rank"] != self.rank:
            raise AnotherFailed(f"rank {said['rank']} of {self.size} ended first: {said['sentence']}", said["code"])

    def lost(self, error: RuntimeError) -> None:
        """After an error in an exchange: raise why another process has ended, where it has said so."""
        # A launcher sends all the others a signal when one is gone: what it was about says more.
        with signals.held():
            until = time.monotonic() + _PATIENCE
            with suppress(dist.DistError):
                while time.monotonic() < until:
                    self._raise_failure()
                    time.sleep(_PAUSE)
            if isinstance(error, dist.DistError) or "gloo" in str(error):
                raise AnotherFailed(
                    f"rank {self.rank} of {self.size} has lost another one, which was killed or cannot be reached "
                    f"({_shortened(error)}); the same job may run again",
                    # It is the other one that has failed: on Kubernetes each pod would count as a failed try.
                    Interrupted.exit_code,
                ) from error

    # Exchanges, at which all processes meet.

    def total(self, number: float) -> float:
        """The sum over all processes."""
        return self._summed(number)[0]

    def agree(self, number: float = 0.0) -> float:
        """The sum over all processes. Where a signal has come to one of them, it is raised in all."""
        if self.size == 1:
            return number
        total, *came = self._summed(number, *(float(signals.is_asked(one)) for one in signals.NUMBERS))
        for one, count in zip(signals.NUMBERS, came, strict=True):
            if count:
                signals.ask(one)
        signals.check()
        return total

    def _summed(self, *numbers: float) -> list[float]:
        if self.size == 1:
            return list(numbers)
        summed = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(summed)
        return [float(number) for number in summed]

    def check(self) -> None:
        """Raise a signal that has come; where there are others `agree` does, in all of them at once."""
        if self.size == 1:
            signals.check()

    def same(self, value: Made) -> Made:
        """That of the first process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def gathered(self, value: Made) -> list[Made]:
        """That of each process, by rank."""
        values: list[Made] = [value] * self.size
        dist.all_gather_object(values, value)
        return values

    def filling(self, ranks: Sequence[int]) -> Callable[[bytearray], None]:
        """What the first process and these call with buffers of equal lengths: they get the bytes of the first one's.
        All processes ask for it."""
        some = dist.new_group([0, *ranks], backend="gloo")
        watch_connections()
        return lambda buffer: dist.broadcast(torch.frombuffer(buffer, dtype=torch.uint8), src=0, group=some)

    def same_snapshot(self, snapshot: Snapshot | None) -> Snapshot | None:
        """That of the first process, which alone reads checkpoints."""
        if self.size == 1:
            return snapshot
        shapes = {name: (one.shape, one.dtype) for name, one in snapshot.tensors.items()} if snapshot else {}
        told = self.same((snapshot.facts, shapes) if snapshot else None)
        if told is None:
            return None
        facts, shapes = told
        tensors = {}
        for name, (shape, dtype) in shapes.items():
            tensors[name] = snapshot.tensors[name] if snapshot else torch.empty(shape, dtype=dtype)
            dist.broadcast(tensors[name].reshape(-1).view(torch.uint8), src=0)
        return Snapshot(tensors, facts)

    def dealt(self, items: Sequence[Item], work: Callable[[Item], Made], *, together: bool = False) -> Iterator[Made]:
        """What `work` makes of all items, each done by one process; in their order on the first, on others nothing.
        `together`: the processes meet while they work, so that one without an item works too."""
        for at in range(0, len(items), self.size):
            # The last round may have nothing for some.
            mine = at + self.rank
            made = [work(item) for item in items[mine : mine + 1]]
            if together and not made:
                work(items[at])
            if self.size == 1:
                yield from made
                continue
            self.agree()
            found: list[list[Made]] | None = [[] for _ in range(self.size)] if self.is_first else None
            dist.gather_object(made, found, dst=0)
            yield from (one for some in found or [] for one in some)

    # Learning.

    def spread(self, module: nn.Module, *, in_shards: bool = False) -> nn.Module:
        """The module with gradients that are the mean over all processes, and with the weights of the first. Weights in
        shards see to that themselves."""
        if self.size == 1 or in_shards:
            return module
        # Which weights a part of a step does not use may differ: layers are dropped, tokens not there.
        return DistributedDataParallel(
            module, forward_sync_buffers=False, find_unused_parameters=True, gradient_as_bucket_view=True
        )

    def exchanging(self, module: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
        """Around a part of a step: gradients are exchanged during the last one."""
        if isinstance(module, DistributedDataParallel) and not is_last:
            return module.no_sync()
        return nullcontext()

    def seed(self, *numbers: int) -> None:
        """Begin the random numbers of this process anew, in a run of several: what it draws follows from the place in
        the run, so that no state of them need be kept."""
        if self.size > 1:
            (drawn,) = np.random.SeedSequence([*numbers, self.rank]).generate_state(1)
            torch.manual_seed(int(drawn))
            np.random.seed(int(drawn))
            random.seed(int(drawn))


def _shortened(error: Exception) -> str:
    """What gloo or NCCL says, without the places in their code and their advice."""
    return re.sub(r"^\[[^\]]*\.cc:\d+\] |\. This is typically.*", "", first_line(error))


_world = World()


def world() -> World:
    """Those this process has joined."""
    return _world


@contextmanager
def joined(place: Place, verdict: Verdict) -> Iterator[World]:
    """Meet the other processes. When one ends with an error the others learn it and end too, with its code."""
    global _world
    with _met(place) as _world:
        try:
            yield _world
        except RuntimeError as error:
            _world.lost(error)
            _world.tell_failure(*verdict(error))
            raise
        except AnotherFailed:
            raise
        except BaseException as error:
            _world.tell_failure(*verdict(error))
            raise
        finally:
            _world = World()


@contextmanager
def _met(place: Place) -> Iterator[World]:
    gpus = torch.cuda.device_count()
    if gpus and place.local >= gpus:
        raise SettingsError(f"LOCAL_RANK is {place.local}, but this machine has {gpus} GPUs: one process each")
    if gpus:
        torch.cuda.set_device(place.local)
    store, _, _ = next(rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.size)
    watch_connections()
    for name in _OWN:
        os.environ.pop(name, None)
    try:
        yield World(place, PrefixStore("tunewright", store))
        # The first one may hold what the others still read from: none leaves before all are done.
        with suppress(RuntimeError):
            dist.barrier()
    finally:
        dist.destroy_process_group()
