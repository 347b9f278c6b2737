"""Lineage: what a version was made of, recorded with it."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from tunewright.job.kinds.task import Plan
from tunewright.job.model.layers import Parameters
from tunewright.job.train.loop import Trained

_PACKAGES = ("accelerate", "numpy", "onnx", "onnxruntime", "optimum", "optimum-onnx", "pyarrow", "tokenizers", "torch",
             "transformers", "tunewright")  # fmt: skip


def lineage(plan: Plan, trained: Trained, parameters: Parameters, run_id: str) -> dict[str, Any]:
    """Data fingerprint, base model, every setting, code, packages, hardware and times; never a secret."""
    base = plan.base
    return {
        "run_id": run_id,
        "data": plan.prepared.facts,
        "base_model": {"address": base.address, "digest": base.digest, "dropped_config_keys": list(base.dropped)},
        "settings": plan.settings.model_dump(mode="json"),
        "parameters": {"total": parameters.total, "learning": parameters.learning},
        "training": {
            "history": trained.history,
            "best_epoch": trained.best_epoch,
            "precision": trained.precision,
            "device": trained.device,
            "seconds": round(trained.seconds, 2),
            "rows_per_second": round(trained.rows_per_second, 1),
        },
        "code": _code(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "hardware": {
            "machine": platform.machine(),
            "processors": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "python": platform.python_version(),
        },
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _code() -> str | None:
    """The commit: told by the image (TUNEWRIGHT_COMMIT), else by git; None where neither knows."""
    if stated := os.environ.get("TUNEWRIGHT_COMMIT"):
        return stated
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no input
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607 - wherever git is
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
