"""`make bench-gpu`: training on a GPU by the job's own loop, what each of its switches gives, and whether it is right.

BERT-base, GPT-2 and Qwen2.5-0.5B in size, with random weights and synthetic rows from a seed: nothing is fetched.
Speed is that of the faster of two epochs, in real tokens (padding not counted), `gpu_s` how long the GPU computed in
one, and `busy` its share of the time: the rest it waits for the processor. MFU is the share of the rate of a bf16
matrix product of 8,192 x 8,192 that was measured just before. Printed, and written to var/bench/gpu.json.
On a processor alone only `--tiny` makes sense, which shows that all of it runs.
"""

import argparse
import json
import os
import platform
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gpu_cases
import gpu_checks
import torch
from gpu_cases import Case, clocked, flops_per_epoch

from tunewright.job.model.layers import choose_layers
from tunewright.job.train import loop
from tunewright.job.train.device import attention, losses_read
from tunewright.job.train.step import prepared

OUT = Path(os.environ.get("OUT", "var/bench"))


@dataclass(frozen=True)
class Way:
    """One way to train: settings, and parts of the loop put back to what they were."""

    name: str
    settings: dict[str, object] = field(default_factory=dict)
    without: frozenset[str] = frozenset()


ALL = frozenset({"fused", "pinned", "unread", "unseen", "varlen"})
LADDER = [
    Way("fp32, nothing else", {"precision": "fp32"}, ALL),
    Way("tf32", {"precision": "tf32"}, ALL),
    Way("bf16", {}, ALL),
    Way("+ fused AdamW", {}, ALL - {"fused"}),
    Way("+ pinned, fetched ahead", {}, ALL - {"fused", "pinned"}),
    Way("+ loss read every 16 steps", {}, frozenset({"unseen", "varlen"})),
    Way("+ masks not looked at", {}, frozenset({"varlen"})),
]
"""Each with one thing more than the one before."""
SHORT = [LADDER[1], LADDER[2], LADDER[-1]]
"""Of models that take long."""
AS_IS = Way("as the job does (bf16)")
MORE = [
    Way("compiled", {"compile": True}),
    Way("gradient checkpointing", {"gradient_checkpointing": True}),
    Way("both", {"compile": True, "gradient_checkpointing": True}),
]
EIGHT_BITS = Way("adamw_8bit", {"optimizer": "adamw_8bit"})
ADAPTERS = [Way("LoRA", {"lora": {"rank": 16}}), Way("LoRA, NF4", {"lora": {"rank": 16, "quantization": "nf4"}})]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="models that a processor trains in seconds")
    parser.add_argument("--only", choices=["checks", "figures"], help="one half of it")
    parser.add_argument("--steps", type=int, default=16, help="steps of an epoch that is timed")
    parser.add_argument("--seconds", type=float, default=3600, help="begin nothing after so long")
    parser.add_argument("--checks", nargs="*", default=[], help="beginnings of names")
    parser.add_argument("--cases", nargs="*", default=[], help="beginnings of names")
    asked = parser.parse_args()
    if not torch.cuda.is_available() and not asked.tiny:
        sys.exit("bench-gpu needs a GPU; --tiny runs all of it on a processor")
    OUT.mkdir(parents=True, exist_ok=True)
    gpu_checks.suit_older_torch()
    ends = time.monotonic() + asked.seconds
    results: dict[str, Any] = {"machine": machine()}
    print(json.dumps(results["machine"]), flush=True)
    if asked.only != "figures":
        results["checks"] = []
        all_checks = gpu_checks.checks(tiny=asked.tiny)
        chosen = [one for one in all_checks if not asked.checks or one[0].startswith(tuple(asked.checks))]
        attempt_all(chosen, results["checks"], results, ends)
    if asked.only != "checks":
        results["rates"] = rates() if torch.cuda.is_available() else {}
        print(f"products, TFLOP/s: {results['rates']}", flush=True)
        for case in gpu_cases.tiny() if asked.tiny else gpu_cases.real(asked.steps):
            if not asked.cases or case.name.startswith(tuple(asked.cases)):
                print(f"== {case.name}", flush=True)
                results[case.name] = []
                attempt_all(ways(case, results["rates"]), results[case.name], results, ends)
    failed = [one["name"] for one in results.get("checks", []) if "failed" in one]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def machine() -> dict[str, object]:
    """What the figures are of."""
    from importlib.metadata import version

    return {
        "card": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "accelerate")},
        **{name: bool(find_spec(name)) for name in ("triton", "bitsandbytes", "peft")},
    }


def write(results: dict[str, Any]) -> None:
    (OUT / "gpu.json").write_text(json.dumps(results, indent=2, default=str))


def attempt(name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """One of several things; what fails is shown and does not end the others."""
    started = time.perf_counter()
    try:
        found = run()
    except Exception as error:  # a bench that ends at the first fault finds one a run
        traceback.print_exc()
        found = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
    found = {"name": name, **found, "seconds_in_all": round(time.perf_counter() - started, 1)}
    print(json.dumps(found, default=str), flush=True)
    return found


def attempt_all(
    things: list[tuple[str, Callable[[], dict[str, Any]]]], found: list[Any], results: dict[str, Any], ends: float
) -> None:
    for name, run in things:
        if time.monotonic() > ends:
            print(f"no time left for {name}", flush=True)
            continue
        found.append(attempt(name, run))
        write(results)


def rates() -> dict[str, float]:
    """TFLOP/s of a large matrix product in each kind of number."""
    return {
        "fp32": product(torch.float32, "highest", 4096),
        "tf32": product(torch.float32, "high", 8192),
        "bf16": product(torch.bfloat16, "highest", 8192),
    }


def product(kind: torch.dtype, precision: str, size: int) -> float:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    one, other = (torch.randn(size, size, device="cuda", dtype=kind) for _ in range(2))
    times = []
    for _ in range(12):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        one @ other
        ended.record()
        torch.cuda.synchronize()
        times.append(began.elapsed_time(ended) / 1e3)
    torch.set_float32_matmul_precision(before)
    return round(2 * size**3 / sorted(times)[len(times) // 2] / 1e12, 1)


def ways(case: Case, measured: dict[str, float]) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Each way to train it, side by side."""
    decoder = hasattr(case.rows(), "flat")
    chosen = [*SHORT, AS_IS, *MORE] if decoder else [*LADDER, *MORE]
    if find_spec("bitsandbytes"):
        chosen.append(EIGHT_BITS)
    if find_spec("peft") and decoder:
        # GPT-2 has no linear layers that bitsandbytes knows.
        chosen += ADAPTERS if find_spec("bitsandbytes") and "gpt2" not in case.name else ADAPTERS[:1]
    if not torch.cuda.is_available():
        chosen = [way for way in chosen if way.settings.get("precision") != "tf32" and not way.settings.get("compile")]
    return [(way.name, lambda way=way: trained(case, way, measured)) for way in chosen]


def trained(case: Case, way: Way, measured: dict[str, float]) -> dict[str, Any]:
    """What training in one way came to."""
    settings = case.settings.model_validate({**case.settings.model_dump(), **way.settings})
    model, rows = case.build(), case.rows()
    flops = flops_per_epoch(model, rows)
    choose_layers(model, settings)
    stops: Counter[str] = Counter()
    kernels: dict[str, float] = {}
    with put_back(way.without), watched(rows, stops, kernels):
        came = loop.train(model, (rows, _First(rows)), clocked(case.objective(), rows.clock), settings)
    tokens, seconds = int(rows.texts.sum()), rows.clock.seconds
    found = {
        "tokens_per_second": round(tokens / seconds),
        "teraflops": round(flops / seconds / 1e12, 2),
        "first_epoch_s": round(rows.clock.first, 2),
        "epoch_s": round(seconds, 3),
        "losses": [round(epoch["loss"], 4) for epoch in came.history],
        "precision": came.precision,
    }
    if torch.cuda.is_available():
        found["mfu"] = round(flops / seconds / 1e12 / measured["bf16"], 3)
        if busy := kernels.get("seconds"):
            found |= {"gpu_s": round(busy, 3), "busy": round(busy / seconds, 3)}
            found["mfu_while_busy"] = round(flops / busy / 1e12 / measured["bf16"], 3)
        found["peak_GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
        found["stops_an_epoch"] = sum(stops.values())
        found["stopped_at"] = dict(stops.most_common(4))
    return found


class _First:
    """One row, so that the loop measures after each epoch."""

    truncated = 0

    def __init__(self, rows: Any) -> None:
        self._rows, self.lengths = rows, rows.lengths[:1]

    def __len__(self) -> int:
        return 1

    def batch(self, rows: Any) -> Any:
        return self._rows.batch(rows)


@contextmanager
def put_back(without: frozenset[str]) -> Iterator[None]:
    """The loop without some of what makes it fast."""
    real, loader = torch.optim.AdamW, prepared.DataLoader
    with ExitStack() as stack:
        if "fused" in without:
            stack.enter_context(patch.object(torch.optim, "AdamW", lambda groups, fused: real(groups)))
        if "pinned" in without:
            stack.enter_context(patch.object(prepared, "DataLoader", lambda *a, pin_memory, **more: loader(*a, **more)))
            stack.enter_context(patch.object(prepared, "DataLoaderConfiguration", lambda **_: None))
        if "unread" in without:
            stack.enter_context(patch.dict(losses_read.STEPS_UNREAD, clear=True))
        if "unseen" in without:
            stack.enter_context(patch.object(attention, "_LOOK", ()))
        if "varlen" in without:
            stack.enter_context(patch.object(attention, "can_vary", lambda *_: False))
        yield


@contextmanager
def watched(rows: Any, stops: Counter[str], kernels: dict[str, float]) -> Iterator[None]:
    """Count where the program waits for the GPU in the first epoch, and how long that is busy in the last; peak memory
    is that of the second and later ones."""
    if not torch.cuda.is_available():
        yield
        return

    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])

    def on_epoch(epoch: int) -> None:
        torch.cuda.set_sync_debug_mode("warn" if epoch == 1 else "default")
        if epoch == 2:
            torch.cuda.reset_peak_memory_stats()
        if epoch == gpu_cases.EPOCHS:
            profiler.start()

    def on_end(epoch: int) -> None:
        torch.cuda.set_sync_debug_mode("default")
        if epoch == gpu_cases.EPOCHS:
            profiler.stop()
            # A machine may not let kernels be written down.
            with suppress(RuntimeError, AttributeError):
                kernels["seconds"] = sum(one.self_device_time_total for one in profiler.key_averages()) / 1e6

    rows.clock.on_epoch, rows.clock.on_end = on_epoch, on_end
    torch.cuda.empty_cache()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for one in caught:
        if "synchronizing" in str(one.message):
            stops[f"{'/'.join(Path(one.filename).parts[-2:])}:{one.lineno}"] += 1


if __name__ == "__main__":
    main()
