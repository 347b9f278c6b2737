"""Feature extraction, answered: one vector per text, the pooled embedding of all its tokens.

That is what text-embeddings-inference answers to `/embed` and sentence-transformers to `encode`. The pipeline of the
same name in transformers gives a vector for each token instead, which is not pooled.
Axes: N texts, D numbers of a vector.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from tunewright.serving.bundle.model_file import ModelFile, read_options
from tunewright.serving.engines.task import Shapes
from tunewright.serving.engines.text import LogitsEngine
from tunewright.serving.errors import InputError
from tunewright.serving.request import schema
from tunewright.serving.request.parameters import check_parameters
from tunewright.serving.request.texts import read_texts
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.scores import normalized
from tunewright.serving.runtime.session import Array
from tunewright.serving.text.encoding import Encoded, Text

Answer = list[float]


class Options(BaseModel):
    """What `model.json` says for this task alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    dimensions: int = Field(ge=1)
    """Numbers of a vector."""
    normalize: bool = True
    """Whether vectors are scaled to the length 1 where a caller does not say."""


_RIGHT = {"type": "string", "pattern": "^[rR]ight$", "nullable": True}
"""Not two names that differ in a capital: of these no client can be made."""


class Parameters(BaseModel):
    """What a caller may set."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    normalize: bool | None = None
    """Whether to scale the vector to the length 1; as the model was made when absent."""
    truncate_dim: int | None = Field(default=None, ge=1)
    """Return only the first so many numbers, before the vector is scaled; all of them when absent."""
    dimensions: int | None = Field(default=None, ge=1)
    """The same under the name that clients of the hub use."""
    truncate: bool | None = None
    """Whether a text longer than the model reads is cut, which is so when absent; where false it is refused."""
    truncation_direction: Annotated[Literal["right", "Right"] | None, WithJsonSchema(_RIGHT)] = None
    """The end at which a long text is cut."""
    encoding_format: Literal["float"] | None = None
    """How the numbers are written."""


def shapes(model: ModelFile) -> Shapes:
    """How requests and answers look for this model."""
    return Shapes(
        item=schema.text_item(pair=False),
        parameters=schema.schema_of(Parameters),
        answer=schema.list_of({"type": "number"}, minItems=1),
        example=schema.text_example(pair=False),
        beside=tuple(Parameters.model_fields),
    )


def read_inputs(inputs: object, model: ModelFile) -> tuple[list[Text], bool]:
    """The texts of a request."""
    return read_texts(inputs, pair=False)


def read_parameters(parameters: Mapping[str, object], model: ModelFile) -> Parameters:
    """Check a caller's parameters."""
    read = check_parameters(Parameters, parameters, model.task)
    if read.truncate_dim is not None and read.dimensions is not None:
        raise InputError("parameters 'truncate_dim' and 'dimensions' say the same; send one of them")
    dimensions = read_options(Options, model).dimensions
    for name in ("truncate_dim", "dimensions"):
        if (asked := getattr(read, name)) is not None and asked > dimensions:
            raise InputError(f"parameter {name!r} is {asked}; a vector of this model has {dimensions}")
    return read


def open_engine(folder: Path, model: ModelFile, variant: str, capacity: Capacity) -> LogitsEngine[Parameters]:
    """Load one variant."""
    read_options(Options, model)
    return LogitsEngine(folder, model, variant, capacity, answer, check_cut)


def check_cut(rows: Sequence[Encoded], parameters: Parameters, first: int) -> None:
    """InputError for a text that would be cut where the caller does not want that."""
    for index, row in enumerate(rows, first):
        if row.truncated and parameters.truncate is False:
            raise InputError(
                f"text {index} is longer than the {len(row)} tokens that this model reads, and 'truncate' is false"
            )


def answer(vector_D: Array, model: ModelFile, parameters: Parameters) -> Answer:
    """The vector as the caller wants it."""
    cut = vector_D[: parameters.truncate_dim or parameters.dimensions]
    default = read_options(Options, model).normalize
    scale = default if parameters.normalize is None else parameters.normalize
    answered: Answer = (normalized(cut) if scale else cut).tolist()
    return answered
