"""Image files to the numbers a vision model reads: the only image code in the house, used by training too.

Axes: H rows of pixels, W columns, 3 for red, green, blue.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import (
    ExifTags,
    Image,
    ImageOps,
    JpegImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, model_validator

from tunewright.serving.errors import InputError, TooLarge
from tunewright.serving.media.preprocessor_config import processor_class, read_settings
from tunewright.serving.request.files import MAX_BYTES

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What is decoded; of an animation, the first frame."""
MAX_UNFOLDED = 512 << 20
"""Bytes of memory that one image may unfold into, where the caller sets no other limit."""
MAX_SIDE = 32_768
"""Rows or columns of one image: what resizing costs grows with them, whatever the other side is."""
MAX_RESIZED = 16_000_000
"""Pixels of one image once it is resized: a narrow one becomes very long."""
REDUCED_FROM = 8_000_000
"""Pixels of a JPEG from which on the decoder itself halves it, as often as needed: a photo of any camera fits."""

Filter = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
Channels = tuple[float, float, float]
"""Red, green, blue."""


def _as_divisors(value: Channels) -> Channels:
    if 0 in value:
        raise ValueError("a channel cannot be divided by 0")
    return value


Divisors = Annotated[Channels, AfterValidator(_as_divisors)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Size(_Part):
    """Height and width in pixels."""

    height: int = Field(gt=0, le=8192)
    """Rows."""
    width: int = Field(gt=0, le=8192)
    """Columns."""


class ShortestEdge(_Part):
    """A size that keeps the proportions."""

    shortest_edge: int = Field(gt=0, le=8192)
    """Pixels of the shorter side."""


class ImagePreprocessing(_Part):
    """How pixels become what the model was trained on; the steps run in the order of the fields."""

    resize: Size | ShortestEdge | None = None
    """The size to resize to; not resized when absent."""
    resample: Filter = "bilinear"
    """The filter of the resizing."""
    crop: Size | None = None
    """The part cut from the middle, surrounded by black where the image is smaller; not cut when absent."""
    rescale_factor: float | None = 1 / 255
    """What the values 0 to 255 are multiplied with; left as they are when absent."""
    mean: Channels | None = None
    """Subtracted from each channel."""
    std: Divisors | None = None
    """Each channel is then divided by it."""

    @model_validator(mode="after")
    def _normalizes_by_both(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given together or not at all")
        return self


def decode(data: bytes, *, max_bytes: int = MAX_BYTES, max_unfolded: int = MAX_UNFOLDED) -> Image.Image:
    """An image file as RGB, turned upright as its EXIF says.

    InputError when it does not decode, TooLarge when it is too big.

    Colours are converted as Pillow's `convert("RGB")` does: alpha is dropped. Grey of 16 bits keeps its upper 8, where
    Pillow would make white of all that is above 255; pixels of 32 bits have no agreed range and are refused.
    """
    with _opened(data, max_bytes) as image:
        if (size := _unfolded(image)) > max_unfolded:
            raise TooLarge(
                f"the image has {image.width} x {image.height} pixels and unfolds into {size:,} bytes; "
                f"the limit is {max_unfolded:,}"
            )
        _check_sides(image)
        ImageOps.exif_transpose(image, in_place=True)
        return _as_rgb(image)


def unfolded(data: bytes) -> int:
    """Bytes of memory that decoding a file takes at its peak, told from its header alone; InputError as in `decode`."""
    with _opened(data, MAX_BYTES) as image:
        return _unfolded(image)


@contextmanager
def _opened(data: bytes, max_bytes: int) -> Iterator[Image.Image]:
    """A file whose header is read, and nothing more; whatever goes wrong with it is an InputError."""
    if len(data) > max_bytes:
        raise TooLarge(f"the image has {len(data):,} bytes; the limit is {max_bytes:,}")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _reduce(image)
            yield image
    except (InputError, TooLarge):
        raise
    except Image.DecompressionBombError as error:
        raise TooLarge("the image has more pixels than any that is decoded; send a smaller one") from error
    except UnidentifiedImageError as error:
        raise InputError(f"the content is not an image that can be read; send {', '.join(FORMATS)}") from error
    except Exception as error:  # on hostile bytes a decoder may raise anything
        raise InputError(f"the image is damaged or cut off: {error}") from error


def pixels(image: Image.Image, preprocessing: ImagePreprocessing) -> NDArray[np.float32]:
    """An RGB image as float32 `[3, H, W]`, what the slow processor of transformers gives, bit for bit."""
    assert image.mode == "RGB"
    resized = _resized(image, preprocessing)
    values_HW3 = np.asarray(resized if preprocessing.crop is None else _cropped(resized, preprocessing.crop))
    levels = _levels(preprocessing)
    return np.stack([levels[channel][values_HW3[..., channel]] for channel in range(3)])


def _check_sides(image: Image.Image) -> None:
    if max(image.size) > MAX_SIDE:
        raise TooLarge(f"the image has {image.width} x {image.height} pixels; the limit is {MAX_SIDE:,} on a side")


def _reduce(image: Image.Image) -> None:
    """Let a JPEG of many pixels be decoded at a half, a quarter or an eighth of its size."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        halved = 1
        while halved < 8 and image.width * image.height > REDUCED_FROM * halved**2:
            halved *= 2
        image.draft(None, (max(1, image.width // halved), max(1, image.height // halved)))


def _unfolded(image: Image.Image) -> int:
    """What the decoder, the pixels and their copies take together at most, in bytes; measured, format by format."""
    width, height = image.size
    native = {"1": 1, "L": 1, "P": 1}.get(image.mode, 2 if image.mode.startswith("I;16") else 4)
    copies = [native]
    if image.mode != "RGB":
        copies.append(10 if image.mode.startswith("I;16") else 4)
    # Not `image.getexif()`: that of a PNG decodes all pixels first.
    if Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) != 1:
        copies.append(native)
    pictures = width * height * sum(copies) + 8 * height * len(copies)
    return pictures + _unfolded_by_decoder(image, native)


def _unfolded_by_decoder(image: Image.Image, native: int) -> int:
    """What the decoder of a format holds beside the pixels, in bytes."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # libtiff unfolds a whole tile or strip, however little of it the image shows.
        rows = image.tag_v2.get(TiffImagePlugin.ROWSPERSTRIP, image.height)
        strip = image.width * min(int(rows), image.height)
        tile = [image.tag_v2.get(tag, 1) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH)]
        return 4 * max(strip, int(tile[0]) * int(tile[1]))
    if isinstance(image, JpegImagePlugin.JpegImageFile) and "progressive" in image.info:
        return 2 * _coefficients(image)
    # Two canvases and a copy of four channels, also where there are three.
    return 12 * image.width * image.height if isinstance(image, WebPImagePlugin.WebPImageFile) else 0


def _coefficients(image: JpegImagePlugin.JpegImageFile) -> int:
    """Numbers that a progressive JPEG is made of, all held until its last scan: those of its full size."""
    scale = image.decoderconfig[0] if image.decoderconfig else 1
    parts = [(across, down) for _, across, down, _ in image.layer]
    most = max(across for across, _ in parts) * max(down for _, down in parts)
    numbers = sum(across * down for across, down in parts)
    return -(-image.width * scale * image.height * scale * numbers // most)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise InputError("the image has 32 bits per pixel, which have no agreed range; save it with 8 or 16")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode != "RGB":
        return image.convert("RGB")
    image.load()
    # The file is closed behind its back otherwise, and a picture of a file cannot be copied to another process.
    return image


def _resized(image: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
    if preprocessing.resize is None:
        return image
    width, height = _target(image, preprocessing.resize)
    if width * height > MAX_RESIZED:
        raise InputError(
            f"the image has {image.width} x {image.height} pixels, too narrow for this model: "
            f"resized it would have {width} x {height}; the limit is {MAX_RESIZED:,} in all"
        )
    return image.resize((width, height), Image.Resampling[preprocessing.resample.upper()])


def _target(image: Image.Image, size: Size | ShortestEdge) -> tuple[int, int]:
    """Width and height to resize to."""
    if isinstance(size, Size):
        return size.width, size.height
    short, long = sorted(image.size)
    longest_edge = int(size.shortest_edge * long / short)
    if image.width <= image.height:
        return size.shortest_edge, longest_edge
    return longest_edge, size.shortest_edge


def _cropped(image: Image.Image, size: Size) -> Image.Image:
    left, top = (image.width - size.width) // 2, (image.height - size.height) // 2
    return image.crop((left, top, left + size.width, top + size.height))


@lru_cache(maxsize=32)
def _levels(preprocessing: ImagePreprocessing) -> NDArray[np.float32]:
    """What each of the 256 values of a channel becomes, `[3, 256]`.

    The order of roundings is that of transformers: scaled in float64, then normalized in float32.
    """
    values = np.arange(256, dtype=np.float64)
    if preprocessing.rescale_factor is not None:
        values *= preprocessing.rescale_factor
    levels = np.tile(values.astype(np.float32), (3, 1))
    if preprocessing.mean is None or preprocessing.std is None:
        return levels
    mean, std = (np.array(part, dtype=np.float32)[:, None] for part in (preprocessing.mean, preprocessing.std))
    normalized: NDArray[np.float32] = (levels - mean) / std
    return normalized


def read_preprocessing(config: Mapping[str, Any], *, model_type: str | None = None) -> ImagePreprocessing:
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


def _as_size(value: Any) -> Any:
    match value:
        case int(edge):
            return {"height": edge, "width": edge}
        case [height, width]:
            return {"height": height, "width": width}
        case {"height": _, "width": _}:
            return value
    raise ValueError(f"give {_EXACT} or a whole number")


def _as_shortest_edge(value: Any) -> Any:
    match value:
        case int(edge):
            return {"shortest_edge": edge}
        case {"shortest_edge": _}:
            return value
    raise ValueError('give a whole number or {"shortest_edge": ...}')


def _as_either(value: Any) -> Any:
    match value:
        case int(edge):
            return {"shortest_edge": edge}
        case {"shortest_edge": _, **others} if not others:
            return value
        case [_, _] | {"height": _, "width": _}:
            return _as_size(value)
    raise ValueError(f'give {_EXACT}, a whole number or {{"shortest_edge": ...}}')


def _as_channels(value: Any) -> Any:
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


class _Settings(_Part):
    """What every class can be told, by transformers' names."""

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
    "ConvNextImageProcessor": _ConvNext,
    "CLIPImageProcessor": _CLIP,
    "BitImageProcessor": _CLIP,
}
_MODEL_TYPES = {
    "ViTImageProcessor": ("vit", "vit_mae", "vit_msn", "swin", "swinv2"),
    "DeiTImageProcessor": ("deit",),
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
