"""What this machine gives: processors, and tokens of a run."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Provider = Literal["cpu", "cuda"]
"""Of ONNX Runtime: what its execution providers are called here."""

TOKENS_PER_RUN = 256
"""Padded tokens of one run: more than this falls out of a core's cache and gets slower per text."""


@dataclass(frozen=True)
class Capacity:
    """What an engine may take of this machine."""

    threads: int = 0
    """Runs at the same time; 0: one for each available processor."""
    tokens_per_run: int = TOKENS_PER_RUN
    """Padded tokens of one run."""
    provider: Provider = "cpu"
    """What computes the graph."""


def available_cpus() -> int:
    """Processors this process may use: the smaller of its affinity and its cgroup's CPU quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    return max(1, min(cpus, quota)) if quota else cpus


def _cgroup_quota(root: Path) -> int:
    """Whole processors of the CPU quota, cgroup v2 (`cpu.max`) or v1; 0 when there is none."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return 0
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return 0
    return max(1, int(quota) // int(period))
