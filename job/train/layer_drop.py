"""Stochastic depth: in training a layer is passed over now and then (Huang et al. 2016; Fan et al. 2020)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from tunewright.job.errors import BaseModelError, SettingsError
from tunewright.job.model.layers import blocks


@contextmanager
def layers_dropped(model: nn.Module, share: float) -> Iterator[None]:
    """While the model learns, each layer hands on what it was given with this probability; never all of them."""
    stack = blocks(model) if share else []
    if share and not stack:
        raise SettingsError("train.layer_drop would have no effect: this model has no stack of layers; remove it")
    passed: list[int] = []

    def hook(number: int) -> Callable[..., object]:
        def after(
            module: nn.Module, args: tuple[torch.Tensor, ...], given: dict[str, torch.Tensor], output: object
        ) -> object:
            if not module.training:
                return output
            if number == 0:
                passed.clear()
            if torch.rand(()) >= share or len(passed) == len(stack) - 1:
                return output
            passed.append(number)
            return _passed_over(module, args[0] if args else given["hidden_states"], output)

        return after

    handles = [block.register_forward_hook(hook(number), with_kwargs=True) for number, block in enumerate(stack)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _passed_over(layer: nn.Module, given: torch.Tensor, output: object) -> object:
    made = output[0] if isinstance(output, tuple) else output
    if not isinstance(made, torch.Tensor) or made.shape != given.shape:
        raise BaseModelError(
            f"train.layer_drop cannot be: a {type(layer).__name__} hands on something of another size than it is "
            "given; remove it"
        )
    return (given, *output[1:]) if isinstance(output, tuple) else given
