"""One ONNX graph in ONNX Runtime: opened, asked for its inputs, run under a deadline."""

import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tunewright.serving.errors import BundleError, DeadlineExceeded, SettingsError
from tunewright.serving.onnx_runtime import ort
from tunewright.serving.runtime.capacity import Provider
from tunewright.serving.runtime.watchdog import WATCHDOG

Array = NDArray[np.float32]

_SILENT = 4
"""ONNX Runtime's own log, only fatal errors: whatever else goes wrong is raised."""
_CUDA = "CUDAExecutionProvider"
# TF32 rounds what a product reads to ten bits, ten times what a golden case of fp32 allows.
_PROVIDERS: dict[Provider, list[str | tuple[str, dict[str, str]]]] = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": [(_CUDA, {"use_tf32": "0"}), "CPUExecutionProvider"],
}


def check_provider(provider: Provider) -> None:
    """SettingsError where this ONNX Runtime was built without the provider; the CUDA libraries that pip has installed
    are made known to it."""
    if provider == "cpu":
        return
    if _CUDA not in ort.get_available_providers():
        raise SettingsError(
            "SERVING_PROVIDER is cuda, but the ONNX Runtime that is installed computes on processors only; leave it "
            "out, or serve from an image that was built with PROVIDER=cuda"
        )
    ort.preload_dlls()


class TimeLimit:
    """Ends the runs that are given it once its seconds are over: `with TimeLimit(2.5) as limit: ...`.

    One limit may cover many runs, also in several threads; those not begun yet end at once.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.options = ort.RunOptions()
        self.options.log_severity_level = _SILENT

    @property
    def is_over(self) -> bool:
        """Whether the seconds have passed."""
        return bool(self.options.terminate)

    def end(self) -> None:
        """As if the seconds had passed: nobody waits any more."""
        self.options.terminate = True

    def check(self) -> None:
        """DeadlineExceeded once the seconds have passed: asked between two pieces of work that no graph does."""
        if self.is_over:
            raise DeadlineExceeded(f"the model did not answer within {self.seconds:.3g} s")

    def __enter__(self) -> Self:
        WATCHDOG.watch(self.end, time.monotonic() + self.seconds)
        return self

    def __exit__(self, *_: object) -> None:
        WATCHDOG.let_go(self.end)


class Session:
    """A loaded graph; `run` may be called from several threads."""

    def __init__(self, path: Path, *, threads: int = 1, provider: Provider = "cpu") -> None:
        self.onnx = _opened(path, threads, provider)
        # ONNX Runtime goes on with the processor where a GPU does not answer, and says so in its log alone.
        if provider == "cuda" and _CUDA not in self.onnx.get_providers():
            raise SettingsError(
                "SERVING_PROVIDER is cuda, but ONNX Runtime could not begin on a GPU (no NVIDIA GPU, no driver, or "
                "not the CUDA and cuDNN it was built for); leave it out to compute on the processor"
            )
        self.inputs = [node.name for node in self.onnx.get_inputs()]

    def run(
        self,
        inputs: Mapping[str, NDArray[np.generic]],
        *,
        outputs: Sequence[str] | None = None,
        limit: TimeLimit | None = None,
    ) -> list[Array]:
        """The named outputs of the graph, float32, or all of them; DeadlineExceeded once the limit is over."""
        try:
            found = self.onnx.run(outputs, dict(inputs), limit.options if limit else None)
        except Exception as error:
            if limit is not None and limit.is_over:
                raise DeadlineExceeded(f"the model did not answer within {limit.seconds:.3g} s") from error
            raise
        return [np.asarray(output, dtype=np.float32) for output in found]


def _opened(path: Path, threads: int, provider: Provider) -> ort.InferenceSession:
    """The graph, exact where it can be; ONNX Runtime has no common class for a file it refuses."""
    refusals = []
    # In versions that are older than this, products may share a weight, and then it can't be made unsigned.
    for unsigned in (False,) if has_vnni() else (True, False):
        try:
            return ort.InferenceSession(str(path), _options(threads, unsigned), providers=_PROVIDERS[provider])
        except Exception as error:
            refusals.append(error)
    raise BundleError(f"ONNX Runtime refuses {path}: {refusals[0]}") from refusals[0]


@cache
def has_vnni() -> bool:
    """Whether this processor, as Linux tells it, adds products of bytes in 32 bits."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            # Of the first processor alone: a machine of many takes long to tell all.
            flags = next((line.split() for line in file if line.startswith("flags")), [])
    except OSError:
        return False
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags)


def _options(threads: int, unsigned: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A plan of the memory for each shape that was seen is kept for ever, and saves nothing where shapes differ.
    options.enable_mem_pattern = False
    # Processors without VNNI cut 16-bit sums of unsigned and signed bytes, but not of unsigned ones. With VNNI none are
    # cut, and a run takes half as long as with unsigned weights (docs/decisions/0021-int8-by-rows.md).
    options.add_session_config_entry("session.x64quantprecision", "1" if unsigned else "0")
    if threads > 1:
        # Threads that spin between two runs take twice the processor for the same time of a step.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _SILENT
    return options
