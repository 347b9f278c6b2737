"""`preprocessor_config.json` of an image model: transformers' processors as the steps they stand for."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from tunewright.serving.media.image_pixels import Channels, Divisors, Filter, ImagePreprocessing, ShortestEdge, Size
from tunewright.serving.media.preprocessor_config import processor_class, read_settings


def read_preprocessing(config: Mapping[str, object], *, model_type: str | None = None) -> ImagePreprocessing:
    """The content of a `preprocessor_config.json` as the steps it stands for; ValueError when one is not known here.

    model_type: what the checkpoint's `config.json` says, for older files that name no class.
    """
    name = processor_class(config, _MODEL_TYPES, model_type=model_type)
    settings = read_settings(_SETTINGS[name], config, name)
    resize, crop = _geometry(settings)
    return ImagePreprocessing(
        resize=resize,
        resample=_FILTERS[settings.resample],
        crop=crop,
        rescale_factor=settings.rescale_factor if settings.do_rescale else None,
        mean=settings.image_mean if settings.do_normalize else None,
        std=settings.image_std if settings.do_normalize else None,
    )


_EXACT = '[height, width], {"height": ..., "width": ...}'


def _as_size(value: object) -> object:
    match value:
        case int(edge):
            return {"height": edge, "width": edge}
        case [height, width]:
            return {"height": height, "width": width}
        case {"height": _, "width": _}:
            return value
    raise ValueError(f"give {_EXACT} or a whole number")


def _as_shortest_edge(value: object) -> object:
    match value:
        case int(edge):
            return {"shortest_edge": edge}
        case {"shortest_edge": _}:
            return value
    raise ValueError('give a whole number or {"shortest_edge": ...}')


def _as_either(value: object) -> object:
    match value:
        case int(edge):
            return {"shortest_edge": edge}
        case {"shortest_edge": _, **others} if not others:
            return value
        case [_, _] | {"height": _, "width": _}:
            return _as_size(value)
    raise ValueError(f'give {_EXACT}, a whole number or {{"shortest_edge": ...}}')


def _as_channels(value: object) -> object:
    match value:
        case int() | float():
            return [value] * 3
        case [_, _, _]:
            return value
    raise ValueError("give a number, or three")


_Size = Annotated[Size, BeforeValidator(_as_size)]
_FILTERS: tuple[Filter, ...] = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""The filters by Pillow's numbers, which is how transformers writes them."""
_NEVER_CROPPED = 384
"""From this edge on ConvNextImageProcessor resizes to a square and cuts nothing off."""


class _Settings(BaseModel):
    """What every class can be told, by transformers' names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    do_resize: StrictBool = True
    resample: int = Field(default=2, ge=0, le=5)
    do_rescale: StrictBool = True
    rescale_factor: float = 1 / 255
    do_normalize: StrictBool = True
    image_mean: Annotated[Channels, BeforeValidator(_as_channels)] = (0.5, 0.5, 0.5)
    image_std: Annotated[Divisors, BeforeValidator(_as_channels)] = (0.5, 0.5, 0.5)


class _ViT(_Settings):
    size: _Size = Size(height=224, width=224)


class _ConvNext(_Settings):
    size: Annotated[ShortestEdge, BeforeValidator(_as_shortest_edge)] = ShortestEdge(shortest_edge=384)
    crop_pct: float = Field(default=224 / 256, gt=0, le=1)


class _DeiT(_Settings):
    size: _Size = Size(height=256, width=256)
    resample: int = Field(default=3, ge=0, le=5)
    do_center_crop: StrictBool = True
    crop_size: _Size = Size(height=224, width=224)


class _Beit(_DeiT):
    size: _Size = Size(height=224, width=224)
    do_center_crop: StrictBool = False


class _CLIP(_Settings):
    size: Annotated[Size | ShortestEdge, BeforeValidator(_as_either)] = ShortestEdge(shortest_edge=224)
    resample: int = Field(default=3, ge=0, le=5)
    do_center_crop: StrictBool = True
    crop_size: _Size = Size(height=224, width=224)
    image_mean: Annotated[Channels, BeforeValidator(_as_channels)] = (0.48145466, 0.4578275, 0.40821073)
    image_std: Annotated[Divisors, BeforeValidator(_as_channels)] = (0.26862954, 0.26130258, 0.27577711)


_SETTINGS: dict[str, type[_ViT | _ConvNext | _DeiT | _CLIP]] = {
    "ViTImageProcessor": _ViT,
    "DeiTImageProcessor": _DeiT,
    "BeitImageProcessor": _Beit,
    "ConvNextImageProcessor": _ConvNext,
    "CLIPImageProcessor": _CLIP,
    "BitImageProcessor": _CLIP,
}
_MODEL_TYPES = {
    "ViTImageProcessor": ("vit", "vit_mae", "vit_msn", "swin", "swinv2"),
    "DeiTImageProcessor": ("deit",),
    "BeitImageProcessor": ("beit", "data2vec-vision"),
    "ConvNextImageProcessor": ("convnext", "convnextv2", "cvt", "regnet", "resnet", "van"),
    "CLIPImageProcessor": ("clip",),
    "BitImageProcessor": ("bit", "dinov2", "focalnet", "hiera"),
}


def _geometry(settings: _ViT | _ConvNext | _DeiT | _CLIP) -> tuple[Size | ShortestEdge | None, Size | None]:
    """What to resize to and what to cut out."""
    if isinstance(settings, _ConvNext):
        return _convnext_geometry(settings)
    crop = settings.crop_size if isinstance(settings, _DeiT | _CLIP) and settings.do_center_crop else None
    return settings.size if settings.do_resize else None, crop


def _convnext_geometry(settings: _ConvNext) -> tuple[Size | ShortestEdge | None, Size | None]:
    if not settings.do_resize:
        return None, None
    edge = settings.size.shortest_edge
    square = Size(height=edge, width=edge)
    if edge >= _NEVER_CROPPED:
        return square, None
    return ShortestEdge(shortest_edge=int(edge / settings.crop_pct)), square
