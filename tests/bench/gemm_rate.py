"""How fast this process multiplies matrices: what a step of training is held against."""

import time

import torch

_SIDE = 1024
_SECONDS = 0.5


def gemm_rates() -> dict[str, float]:
    """GFLOP/s of a second of the processor, by precision: the best of three short runs."""
    return {name: max(_rate(dtype) for _ in range(3)) for name, dtype in _PRECISIONS.items()}


_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def _rate(dtype: torch.dtype) -> float:
    one, other = (torch.randn(_SIDE, _SIDE).to(dtype) for _ in range(2))
    one @ other
    times, started = 0, time.process_time()
    while time.process_time() - started < _SECONDS:
        one @ other
        times += 1
    return 2e-9 * _SIDE**3 * times / (time.process_time() - started)
