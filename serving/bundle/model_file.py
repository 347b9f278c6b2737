"""The bundle: the folder of files that is one version, described by its `model.json`."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tunewright.serving.errors import BundleError
from tunewright.serving.text.cleaning import Cleaning
from tunewright.serving.text.encoding import Padding

Options = TypeVar("Options", bound=BaseModel)

FORMAT = 1
MODEL_FILE = "model.json"

# It becomes part of a path, of a metric's label and of a response's header.
VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


_MOST_LENGTH = 1_000_000
"""Tokens of a row, far more than any model reads."""


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, defer_build=True, protected_namespaces=(), allow_inf_nan=False
    )


class Variant(_Part):
    """One ONNX file of the version, with what was measured of it."""

    file: str
    """Path of its main graph inside the bundle; whatever else it needs stands beside that."""
    batching: Literal["padded", "alone"]
    """`padded`: rows may share a run. `alone`: one row a run, because the answer would depend on its batch mates: so do
    those of recordings, and of int8 files that were made before rows had scales of their own."""
    bytes: int = Field(gt=0, le=1 << 42)
    """Size of its files."""
    metrics: dict[str, float] = {}
    """Test metrics, measured through this program on this file."""
    intervals: dict[str, tuple[float, float]] = {}
    """95 % confidence intervals of some of the metrics."""
    ms_per_text: float = Field(default=0.0, ge=0)
    """Median milliseconds per text on the machine that made the version."""
    temperature: float = Field(default=1.0, ge=0.01, le=100)
    """What its logits are divided by before they become scores, fitted on the validation rows; 1 where that shows no
    gain."""
    min_score: float | None = Field(default=None, ge=0, le=1)
    """The score from which the best label is answered where a caller sends `abstain`, chosen on the validation rows:
    surely no more of these answers are wrong than `export.abstain` of the job says."""
    golden_tolerance: float = Field(gt=0)
    """Largest difference of a golden logit that another machine may show."""

    @field_validator("file")
    @classmethod
    def _inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{value!r} leaves the bundle")
        return value


class Golden(_Part):
    """A real input with the outputs recorded at export."""

    inputs: object
    """One input, as a caller would send it."""
    outputs: dict[str, list[float]]
    """Variant name to the raw numbers it gave, its array flattened."""


class ModelFile(_Part):
    """`model.json`: everything a server must know besides the tokenizer and the graph."""

    format: Literal[1]
    """Version of this format."""
    task: str
    """Name of the task, a key of `serving.tasks.TASKS`."""
    requires: list[str] = []
    """The package that brings the task, as `name==version`, where it is a plug-in."""
    problem: str
    """Which form of the task: single_label (softmax), multi_label (sigmoid per label), regression, ..."""
    labels: list[str] = []
    """Label names in the order of the logits, where the task has any."""
    pair: bool = False
    """True when an input is two texts."""
    max_length: int | None = Field(default=None, gt=2, le=_MOST_LENGTH)
    """Longest row in tokens, for models of texts."""
    cleaning: Cleaning = Cleaning()
    """The steps applied to each text before the tokenizer."""
    padding: Padding = Padding(id=0)
    """How the tokenizer pads."""
    thresholds: list[float] | None = None
    """Multi-label only: the score from which each label is predicted, tuned on the validation split."""
    options: dict[str, object] = {}
    """What this task alone needs to know, checked by its module."""
    variants: dict[VariantName, Variant] = Field(min_length=1)
    """Variant name to file and figures; the ones that passed their gates."""
    default_variant: str
    """The variant served when none is asked for."""
    left_out: dict[str, str] = {}
    """Variants that did not pass, with the reason."""
    golden: list[Golden] = []
    """Inputs that any server replays before it takes traffic."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.default_variant not in self.variants:
            raise ValueError(f"default_variant is {self.default_variant!r}, but {_variants(self)}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"the labels {self.labels} are not distinct")
        if self.problem in ("single_label", "multi_label") and not self.labels:
            raise ValueError(f"a {self.problem} needs labels")
        if self.problem == "regression" and len(self.labels) != 1:
            raise ValueError(f"a regression has one label, not {len(self.labels)}")
        if self.thresholds is not None and (self.problem, len(self.thresholds)) != ("multi_label", len(self.labels)):
            raise ValueError(f"{len(self.thresholds)} thresholds, for a {self.problem} of {len(self.labels)} labels")
        bounded = [name for name, one in self.variants.items() if one.min_score is not None]
        if bounded and self.problem != "single_label":
            raise ValueError(f"variants.{bounded[0]}.min_score is for one label a row, not for a {self.problem}")
        return self


def read_model_file(folder: Path) -> ModelFile:
    """Parse `model.json` of a bundle; BundleError says what is wrong with it."""
    path = folder / MODEL_FILE
    try:
        return ModelFile.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BundleError(f"{folder} holds no {MODEL_FILE}: it is not a Tunewright version") from error
    except ValidationError as error:
        raise BundleError(f"{path} cannot be used: {_first_fault(error)}") from error


def read_options(kind: type[Options], model: ModelFile) -> Options:
    """What `model.json` says for the task alone, as a model of this class; BundleError when that is nonsense."""
    try:
        return kind.model_validate(model.options)
    except ValidationError as error:
        raise BundleError(f"{MODEL_FILE} cannot be used: options.{_first_fault(error)}") from error


def choose_variant(model: ModelFile, asked: str | None) -> str:
    """The name of the variant to load: the one asked for, else the default."""
    if asked is None:
        return model.default_variant
    if asked not in model.variants:
        reason = model.left_out.get(asked)
        why = f"it was left out because {reason}" if reason else _variants(model)
        raise BundleError(f"this version has no variant {asked!r}: {why}")
    return asked


def _variants(model: ModelFile) -> str:
    return "the variants are " + ", ".join(sorted(model.variants))


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    return f"{place}: {str(fault['msg']).removeprefix('Value error, ')}"
