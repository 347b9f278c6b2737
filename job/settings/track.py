"""Where the figures of a run go too, as settings."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tunewright.job.settings.fields import Settings


def _check_uri(uri: str) -> str:
    # It stands in the lineage of a version, which others read.
    if re.match(r"[a-z+]+://[^/]*@", uri):
        raise ValueError(
            "expected an address without credentials; give MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_URI as a whole, by the environment"
        )
    return uri


class TensorBoardSettings(Settings):
    """Event files of each run. Needs tunewright[tensorboard]."""

    folder: Path | None = None
    """Where they go, a folder a run; the folder tensorboard in output when absent."""


class MLflowSettings(Settings):
    """A run in MLflow. Needs tunewright[mlflow]; credentials are MLflow's own variables."""

    uri: Annotated[str, Field(min_length=1), AfterValidator(_check_uri)] | None = None
    """Server (https://...) or database (sqlite:///...); MLFLOW_TRACKING_URI, else MLflow's own choice, when absent."""
    experiment: str | None = Field(default=None, min_length=1)
    """Experiment that the run belongs to; model_name when absent."""


class WandbSettings(Settings):
    """A run in Weights & Biases. Needs tunewright[wandb]; the key is WANDB_API_KEY."""

    project: str | None = Field(default=None, min_length=1)
    """Project that the run belongs to; model_name when absent."""
    entity: str | None = Field(default=None, min_length=1)
    """User or team whose project it is; the one of the key when absent."""
    mode: Literal["offline", "online"] = "offline"
    """Whether figures are sent as they come, or lie in a folder until `wandb sync` sends them."""
    folder: Path | None = None
    """Where wandb makes its folder `wandb`; output when absent."""


class TrackSettings(Settings):
    """Trackers that read along, each with its own settings; a list of names takes the defaults."""

    tensorboard: TensorBoardSettings | None = None
    """Event files for TensorBoard; {} takes the defaults."""
    mlflow: MLflowSettings | None = None
    """A run in MLflow; {} takes the defaults."""
    wandb: WandbSettings | None = None
    """A run in Weights & Biases; {} takes the defaults."""

    @model_validator(mode="before")
    @classmethod
    def _take_names(cls, given: object) -> object:
        return {str(name): {} for name in given} if isinstance(given, list) else given

    @property
    def named(self) -> list[str]:
        """The trackers that are asked for."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]
