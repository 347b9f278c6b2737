"""The gradients of a step. On a processor those of large tables of embeddings are held by row: a step touches few of
them, and zeros for all the others would cost more than what is computed.

Axes: V rows of a table, D its columns, R rows that a step has touched.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from tunewright.job.train.device.shards import together
from tunewright.job.train.distributed import World

_LARGE = 1024
"""Rows of a table from which on its gradient is held by row."""


class _Table:
    """The gradient of a table. What is touched in one step is zero again before the next."""

    def __init__(self, module: nn.Embedding) -> None:
        self.module, self.weight = module, module.weight
        self._gradient = torch.empty(0)
        self._touched = torch.zeros(module.num_embeddings, dtype=torch.bool)

    def gather(self) -> None:
        """Add what one part of a step has left."""
        found = self.weight.grad
        if found is None or not found.is_sparse:
            return
        self.weight.grad = None
        if not len(self._gradient):
            self._gradient = torch.zeros_like(self.weight)
        # Each row once, in their order, so that the sums have the same bits in every run.
        found = found.coalesce()
        (rows,) = found.indices()
        self._gradient.index_add_(0, rows, found.values())
        self._touched[rows] = True

    def rows(self) -> torch.Tensor:
        """`[R]` that the step has touched."""
        return self._touched.nonzero()[:, 0]

    def values(self, rows: torch.Tensor) -> torch.Tensor:
        """A copy of these rows of the gradient, `[R, D]`."""
        return self._gradient[rows]

    def put(self, rows: torch.Tensor, values: torch.Tensor) -> None:
        """Make the whole gradient, these rows of it changed, that of the weight."""
        self.weight.grad = self._gradient.index_copy_(0, rows, values)

    def clear(self) -> None:
        """All zeros again."""
        rows = self.rows()
        if len(rows):
            self._gradient.index_fill_(0, rows, 0.0)
            self._touched[rows] = False


class Gradients:
    """Of all weights of a model, from one step of its optimizer to the next."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, device: str, world: World) -> None:
        # All weights, in their order: to find them takes longer than to look at them.
        self._weights, self._optimizer = list(model.parameters()), optimizer
        # Several processes exchange whole gradients.
        self._tables = list(map(_Table, _large_tables(model))) if device == "cpu" and world.size == 1 else []

    @contextmanager
    def held_by_row(self) -> Iterator[None]:
        """While the model learns."""
        for table in self._tables:
            table.module.sparse = True
        try:
            yield
        finally:
            for table in self._tables:
                table.module.sparse = False

    def gather(self) -> None:
        """After the way back of each part of a step."""
        for table in self._tables:
            table.gather()

    def clip(self, most: float) -> torch.Tensor:
        """The norm of all gradients together; where it is above `most` they are scaled to that. The optimizer comes
        next."""
        held: list[nn.Parameter] = [weight for weight in self._weights if weight.grad is not None]
        by_row = [(table, rows) for table in self._tables if len(rows := table.rows())]
        values = [_standing_in(table.values(rows)) for table, rows in by_row]
        norm = _clip([*held, *values], most)
        for (table, rows), value in zip(by_row, values, strict=True):
            table.put(rows, value.data)
        return norm

    def clear(self) -> None:
        """The step is over, or given up."""
        self._optimizer.zero_grad()
        for table in self._tables:
            table.clear()


def _large_tables(model: nn.Module) -> Iterator[nn.Embedding]:
    """Those that nothing else in the model uses, such as a last layer that is tied to them."""
    uses: dict[int, int] = {}
    for module in model.modules():
        for weight in module.parameters(recurse=False):
            uses[id(weight)] = uses.get(id(weight), 0) + 1
    for module in model.modules():
        if not isinstance(module, nn.Embedding) or uses[id(module.weight)] > 1:
            continue
        if module.num_embeddings >= _LARGE and not (module.sparse or module.scale_grad_by_freq):
            yield module


def _standing_in(gradient: torch.Tensor) -> nn.Parameter:
    """Something that has this gradient."""
    weight = nn.Parameter(gradient, requires_grad=False)
    weight.grad = gradient
    return weight


def _clip(weights: Sequence[nn.Parameter], most: float) -> torch.Tensor:
    norm = together(get_total_norm([weight.grad for weight in weights if weight.grad is not None]))
    # To multiply by 1 goes through all of them once more. A GPU is not asked: it would have to be waited for.
    if norm.is_cuda or not float(norm) + 1e-6 <= most:
        clip_grads_with_norm_(weights, most, norm)
    return norm
