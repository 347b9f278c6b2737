"""Learning with the rounding of the int8 file: products and tables as `job/export/int8.py` will compute them.

A number is rounded on the way there, and its gradient passed on as if it were not (straight-through, Bengio et al.
2013, arXiv 1308.3432). Names and weights of the model stay as they are.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import nn
from transformers.pytorch_utils import Conv1D

from tunewright.job.errors import SettingsError

LEAST = 1024
"""Numbers of the smallest weight that is quantized: with fewer, int8 saves neither bytes nor time."""
ZERO = 128
"""The byte of an input that stands for zero: with signed bytes ONNX Runtime multiplies eight times slower."""
ONE_SIDED = {"Gelu": (32, 0.1701), "Relu": (0, 0.0)}
"""Where the zero of what never falls below a bound lies, and that bound: most of the bytes are for what is above it."""
TINY = 1e-30
"""The least scale, that of a row of zeros."""
_MAKERS = {"GELU": "Gelu", "GELUActivation": "Gelu", "GELUTanh": "Gelu", "PytorchGELUTanh": "Gelu", "ReLU": "Relu"}
"""Classes of activations, and what they are in a graph."""
_Product = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class RoundingCost:
    """Figures of the validation rows in float32 and with the rounding of int8."""

    metric: str
    allowed: float
    """What int8 may lose, as `gate.max_drop` says."""
    fp32: float
    int8: float
    tuned_fp32: float | None = None
    """After learning on with the rounding; None where it was not needed."""
    tuned_int8: float | None = None
    kept: bool = False
    """Whether the weights are those that have learned with the rounding."""


@contextmanager
def int8_imitated(model: nn.Module, asked: bool) -> Iterator[None]:
    """While the model learns and is measured, it answers as its int8 file would; afterwards as before."""
    if not asked:
        yield
        return
    rounding, handles, patched = _Rounding(), [], list[nn.Module]()
    for module in model.modules():
        product = _product(module, rounding)
        if product:
            module.__dict__["forward"] = product
            patched.append(module)
        elif isinstance(module, nn.Embedding) and module.weight.numel() >= LEAST:
            handles.append(module.register_forward_hook(_looked_up))
        elif kind := _MAKERS.get(type(module).__name__):
            handles.append(module.register_forward_hook(rounding.after(kind)))
    if not patched:
        raise SettingsError(
            "train.quantization_aware would have no effect: int8 rounds no layer of this model; remove it"
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in patched:
            del module.__dict__["forward"]


class _Rounding:
    """Rounds what products read, by what has made it."""

    def __init__(self) -> None:
        self._made: weakref.ref[torch.Tensor] | None = None
        self._kind = ""

    def after(self, kind: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        """What is called after an activation."""

        def note(module: nn.Module, given: object, output: torch.Tensor) -> None:
            self._made, self._kind = weakref.ref(output), kind

        return note

    def rows(self, given: torch.Tensor) -> torch.Tensor:
        """Rows of the last axis, each with a scale of its own."""
        if self._made is None or self._made() is not given:
            return rounded(given, 127)
        byte, bound = ONE_SIDED[self._kind]
        return rounded(given, 255 - byte, least=bound / byte if bound else 0.0)


def rounded(given: torch.Tensor, steps: int, *, axis: int = -1, least: float = 0.0) -> torch.Tensor:
    """Numbers as multiples of the scale of their vector, of which the largest one is so many."""
    with torch.no_grad():
        exact = given.detach().float()
        scale = (exact.abs().amax(axis, keepdim=True) / steps).clamp_min(max(TINY, least))
        apart = torch.round(exact / scale) * scale - exact
    return given + apart.to(given.dtype)


def _looked_up(module: nn.Module, given: object, output: torch.Tensor) -> torch.Tensor:
    return rounded(output, 127)


def _product(module: nn.Module, rounding: _Rounding) -> _Product | None:
    """What a module computes with rounded numbers; None where it is no product that is quantized."""
    if isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward and _is_large(module):
        linear = module
        return lambda given: functional.linear(rounding.rows(given), rounded(linear.weight, 127), linear.bias)
    if isinstance(module, Conv1D) and _is_large(module):
        turned = module
        return lambda given: rounding.rows(given) @ rounded(turned.weight, 127, axis=0) + turned.bias
    return None


def _is_large(module: nn.Linear | Conv1D) -> bool:
    return module.weight.numel() >= LEAST
