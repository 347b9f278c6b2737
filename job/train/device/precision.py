"""In which numbers the forward pass multiplies."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from tunewright.job.errors import SettingsError

_AMPERE = (8, 0)
"""The first GPUs (by compute capability) that multiply in TF32."""


@dataclass(frozen=True)
class Precision:
    """Weights, gradients and the optimizer are in fp32 with each of them."""

    name: str
    """fp32, tf32 or bf16."""
    device: str
    """cpu or cuda."""

    def forward(self) -> torch.autocast:
        """Around the forward pass."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.name == "bf16")

    @contextmanager
    def training(self) -> Iterator[None]:
        """Around all of training: TF32 is a switch of the whole process, which export and evaluation find as it was."""
        before = torch.get_float32_matmul_precision()
        if self.name == "tf32":
            torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def choose_precision(asked: str, device: str) -> Precision:
    """As `train.precision` asks; `auto` is bf16 where the hardware multiplies in it, else fp32.

    SettingsError for tf32 where there is no GPU that has it.
    """
    if asked == "tf32" and not (device == "cuda" and torch.cuda.get_device_capability() >= _AMPERE):
        raise SettingsError(
            "train.precision is tf32, in which only GPUs from NVIDIA's Ampere on multiply, and there is none here; set "
            "auto, fp32 or bf16"
        )
    if asked == "auto":
        return Precision("bf16" if _has_bf16(device) else "fp32", device)
    return Precision(asked, device)


def _has_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
