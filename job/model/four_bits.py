"""Frozen weights in four bits while adapters beside them learn (QLoRA, Dettmers et al. 2023), by bitsandbytes.

NF4: each block of 64 weights has one scale, each weight one of 16 levels that are even shares of a normal
distribution; the scales are quantized again. bitsandbytes is an extra (`tunewright[qlora]`) and no part of the images.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from tunewright.job.errors import SettingsError
from tunewright.job.progress.events import say


def quantize(model: nn.Module, names: Sequence[str]) -> None:
    """Turn these linear layers of a model to four bits in place; SettingsError where that cannot be done."""
    if not find_spec("bitsandbytes"):
        raise SettingsError(
            "train.lora.quantization needs the package bitsandbytes, which is not installed: "
            "pip install 'tunewright[qlora]', or remove the setting"
        )
    from bitsandbytes.nn.modules import Linear4bit, Params4bit

    before = _bytes(model)
    for name in names:
        plain = model.get_submodule(name)
        if not isinstance(plain, nn.Linear):
            raise SettingsError(
                f"train.lora.quantization is for linear layers, but {name} is a {type(plain).__name__} "
                "(as GPT-2 has); remove it"
            )
        layer: Any = Linear4bit(  # type: ignore[no-untyped-call]
            plain.in_features, plain.out_features, bias=plain.bias is not None, quant_type="nf4", device="meta"
        )
        layer.weight = Params4bit(plain.weight.detach(), requires_grad=False, quant_type="nf4")
        layer.bias = plain.bias
        # On a processor it would rearrange the weights for inference at the first validation, in the midst of training.
        layer.support_avx512bf16_for_cpu = False
        # Moving is what quantizes, also from a processor to itself.
        model.set_submodule(name, layer.to(plain.weight.device))
    after = _bytes(model)
    say(
        "model",
        f"frozen weights in four bits: all weights take {after / 1e6:,.1f} MB instead of {before / 1e6:,.1f} MB",
        bytes=after,
        bytes_before=before,
    )


def _bytes(model: nn.Module) -> int:
    """What the weights take, with the scales of those in four bits."""
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def is_quantized(layer: nn.Module) -> bool:
    """Whether a layer's weights are in four bits."""
    return hasattr(getattr(layer, "weight", None), "quant_state")


def size(weight: nn.Parameter) -> int:
    """How many numbers a weight holds, also where two of them share a byte."""
    state = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else torch.Size(state.shape).numel()


def restored(layer: Any, delta: torch.Tensor) -> nn.Linear:
    """A plain layer of the quantized weights `[out, in]` and what is added to them."""
    from bitsandbytes.functional import dequantize_4bit

    weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(delta.dtype) + delta
    plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
    plain.weight = nn.Parameter(weight)
    if layer.bias is not None:
        # It was brought to the type of the activations.
        plain.bias = nn.Parameter(layer.bias.detach().to(delta.dtype))
    return plain
