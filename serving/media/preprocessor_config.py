"""`preprocessor_config.json`: the processor class of transformers that a checkpoint names, and its settings."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tunewright.serving.errors import shown

FILE = "preprocessor_config.json"

Settings = TypeVar("Settings", bound=BaseModel)

# What transformers writes, or once wrote, into the file, and what changes no number that the processor gives.
# Images always are RGB here, so do_convert_rgb has nothing left to do.
_WITHOUT_EFFECT = frozenset(
    "image_processor_type feature_extractor_type processor_class _processor_class _valid_processor_keys do_convert_rgb "
    "default_to_square data_format input_data_format device disable_grouping return_tensors".split()
)


def processor_class(
    config: Mapping[str, object], supported: Mapping[str, tuple[str, ...]], *, model_type: str | None
) -> str:
    """Which of the supported classes the file means; ValueError when it is none of them.

    supported: name of the class to the model types whose older files name no class. `...Fast` is its slow twin, which
    has the same settings; `...FeatureExtractor` is what image processors were called before.
    """
    named = config.get("image_processor_type") or config.get("feature_extractor_type")
    known = ", ".join(supported)
    if named is None:
        for name, model_types in supported.items():
            if model_type in model_types:
                return name
        asked = "" if model_type is None else f", and none is known for a model of type {shown(model_type)}"
        raise ValueError(f"{FILE} names no image_processor_type or feature_extractor_type{asked}; supported: {known}")
    for name in (str(named).removesuffix("Fast"), str(named).replace("FeatureExtractor", "ImageProcessor")):
        if name in supported:
            return name
    raise ValueError(f"{FILE} names {shown(named)}, which this program does not know; supported: {known}")


def read_settings(kind: type[Settings], config: Mapping[str, object], name: str) -> Settings:
    """The settings of class `name`; ValueError with the first key that is unknown or has an impossible value."""
    kept = {key: value for key, value in config.items() if _counts(key, value, kind)}
    try:
        return kind.model_validate(kept)
    except ValidationError as error:
        raise ValueError(_sentence(error, kind, config, name)) from error


def _counts(key: str, value: object, kind: type[BaseModel]) -> bool:
    """Whether a key says something: null is the default, and a step that is off needs nobody who knows it."""
    if key in kind.model_fields:
        # A switch that is null is off in a slow processor and at its default in a fast one: left to be refused.
        return value is not None or key.startswith("do_")
    return not (key in _WITHOUT_EFFECT or value is None or value is False)


def _sentence(error: ValidationError, kind: type[BaseModel], config: Mapping[str, object], name: str) -> str:
    fault = error.errors(include_url=False)[0]
    key = str(fault["loc"][0])
    value = shown(config.get(key))
    if fault["type"] == "extra_forbidden":
        return f"{FILE} sets {key!r} to {value}, which is not supported; {name} knows: {', '.join(kind.model_fields)}"
    reason = str(fault["msg"]).removeprefix("Value error, ")
    return f"{FILE} sets {key!r} to {value}: {reason}"
