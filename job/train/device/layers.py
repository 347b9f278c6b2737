"""The layers of a model while it learns: compiled one by one, and computed again on the way back to save memory.

All layers of a stack are one class, so what is compiled for the first serves the others: it takes seconds where the
whole model takes minutes, and masks, embeddings and head stay as they are.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from tunewright.job.errors import SettingsError
from tunewright.job.model import four_bits
from tunewright.job.model.layers import blocks
from tunewright.job.settings.train import TrainSettings

Forward = Callable[..., object]

PAYS_AFTER = 5000
"""Batches from which on compiling the layers on a GPU is won back (docs/guides/train-on-a-gpu.md)."""


def attention(device: str, *, training: bool) -> AbstractContextManager[None]:
    """On a processor attention is learned in its plain form: without dropout torch would take a fused one, whose way
    back is more than twice as slow there."""
    return sdpa_kernel(SDPBackend.MATH) if training and device == "cpu" else nullcontext()


@contextmanager
def layers_prepared(model: nn.Module, settings: TrainSettings, device: str, batches: int) -> Iterator[None]:
    """While the model learns. `batches`: how many it will learn from. Afterwards its layers are as they were.

    SettingsError where the model has no layers of which that could be said.
    """
    compiled = compiles(model, settings, device, batches)
    with ExitStack() as prepared:
        if compiled:
            prepared.enter_context(_wrapped(model, "compile", partial(torch.compile, dynamic=True)))
            # One of many layers that cannot be compiled is run as it is, unless compiling was asked for.
            prepared.enter_context(torch._dynamo.config.patch(suppress_errors=settings.compile == "auto"))
        if settings.gradient_checkpointing:
            prepared.enter_context(_wrapped(model, "gradient_checkpointing", partial(_computed_again, device)))
        yield


def compiles(model: nn.Module, settings: TrainSettings, device: str, batches: int) -> bool:
    """Whether the layers are compiled: as asked, or on a GPU where the run is long enough to win it back."""
    if settings.quantization_aware is True:
        return False
    if settings.compile != "auto":
        return settings.compile
    quantized = any(four_bits.is_quantized(module) for module in model.modules())
    return device == "cuda" and batches >= PAYS_AFTER and find_spec("triton") is not None and not quantized


def _computed_again(device: str, forward: Forward) -> Forward:
    """A layer of which only the input is kept for the way back, where it is run again, to the same bits."""

    def run(*args: object, **given: object) -> object:
        if not torch.is_grad_enabled():
            return forward(*args, **given)
        return checkpoint(
            partial(forward, **given),
            *args,
            use_reentrant=False,
            # The way back is outside of what the forward pass stood in.
            context_fn=lambda: (nullcontext(), attention(device, training=True)),
        )

    return run


@contextmanager
def _wrapped(model: nn.Module, setting: str, wrap: Callable[[Forward], Forward]) -> Iterator[None]:
    stack = blocks(model)
    if not stack:
        raise SettingsError(f"train.{setting} would have no effect: this model has no stack of layers; remove it")
    before = [vars(block).get("forward") for block in stack]
    for block in stack:
        block.forward = wrap(block.forward)
    try:
        yield
    finally:
        for block, forward in zip(stack, before, strict=True):
            del block.forward
            if forward is not None:
                block.forward = forward
