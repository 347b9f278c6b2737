"""Presets of training: what each stands for, in place of the defaults; a value that is set beside it wins."""

from typing import Literal

Preset = Literal["quick", "balanced", "best"]
PRESETS: dict[Preset, dict[str, object]] = {
    "quick": {"epochs": 1, "learning_rate": 2e-4},
    "balanced": {},
    "best": {"epochs": 12, "schedule": "cosine"},
}
"""Preset to the settings of train that it sets. None of them is of some tasks only."""
