"""Lineage: what a version was made of, recorded with it."""

import os
import platform
import subprocess
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from tunewright.job.data.readers.formats import READERS, format_of
from tunewright.job.kinds.plan import Plan
from tunewright.job.measure.metric import METRICS
from tunewright.job.model.layers import Parameters
from tunewright.job.tasks import TASKS
from tunewright.job.train.loss import LOSSES
from tunewright.job.train.state import Trained
from tunewright.registry.plugins import Catalogue

_PACKAGES = ("accelerate", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "pyarrow", "tokenizers", "torch",
             "transformers", "tunewright")  # fmt: skip


def lineage(plan: Plan, trained: Trained, parameters: Parameters, run_id: str) -> dict[str, object]:
    """Data fingerprint, base model, every setting, code, packages, hardware and times; never a secret."""
    base = plan.base
    return {
        "run_id": run_id,
        "data": plan.prepared.facts,
        "base_model": {
            "address": base.address,
            "digest": base.digest,
            "dropped_config_keys": list(base.dropped),
            **({"licence": base.licence} if base.licence else {}),
        },
        "plug_ins": _plug_ins(plan),
        "settings": plan.settings.model_dump(mode="json"),
        "parameters": {"total": parameters.total, "learning": parameters.learning},
        **({} if plan.prepared.imported else {"training": _training(trained)}),
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


def _training(trained: Trained) -> dict[str, object]:
    return {
        "history": trained.history,
        "best_epoch": trained.best_epoch,
        "precision": trained.precision,
        "device": trained.device,
        "seconds": round(trained.seconds, 2),
        "processor_seconds": round(trained.processor_seconds, 2),
        **(asdict(trained.pace) if trained.pace else {}),
    }


def _plug_ins(plan: Plan) -> dict[str, str]:
    """What of installed plug-ins the version was made with, to the package that has it."""
    settings = plan.settings
    used: dict[str, str] = {}
    named: list[tuple[Catalogue[Any], str]] = [
        (TASKS, settings.task),
        *((METRICS, name) for name in settings.metrics),
    ]
    named += [(LOSSES, settings.train.loss)] if settings.train.loss else []
    addresses = [file["address"] for files in plan.prepared.facts["files"].values() for file in files]
    formats = {settings.data.format or format_of(address) for address in addresses}
    named += [(READERS, name) for name in sorted(filter(None, formats))]
    for catalogue, name in named:
        if package := catalogue.requirement(name):
            used[f"{catalogue.what} {name}"] = package
    return used


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
