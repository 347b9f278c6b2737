"""Pixels to the numbers a vision model reads: the only such code in the house, used by training too.

Axes: H rows of pixels, W columns, 3 for red, green, blue.
"""

from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tunewright.serving.errors import InputError

MAX_RESIZED = 16_000_000
"""Pixels of one image once it is resized: a narrow one becomes very long."""

Filter = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
Channels = tuple[float, float, float]
"""Red, green, blue."""


def _as_divisors(value: Channels) -> Channels:
    if 0 in value:
        raise ValueError("a channel cannot be divided by 0")
    return value


Divisors = Annotated[Channels, AfterValidator(_as_divisors)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)


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


def pixels(image: Image.Image, preprocessing: ImagePreprocessing) -> NDArray[np.float32]:
    """An RGB image as float32 `[3, H, W]`, what the slow processor of transformers gives, bit for bit."""
    assert image.mode == "RGB"
    resized = _resized(image, preprocessing)
    values_HW3 = np.asarray(resized if preprocessing.crop is None else _cropped(resized, preprocessing.crop))
    levels = _levels(preprocessing)
    return np.stack([levels[channel][values_HW3[..., channel]] for channel in range(3)])


def visible_box(size: tuple[int, int], preprocessing: ImagePreprocessing) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what the model sees of an image of this width and height, as shares of both."""
    width, height = size if preprocessing.resize is None else _target(size, preprocessing.resize)
    if preprocessing.crop is None:
        return 0.0, 0.0, 1.0, 1.0
    left, top = (width - preprocessing.crop.width) // 2, (height - preprocessing.crop.height) // 2
    right, bottom = left + preprocessing.crop.width, top + preprocessing.crop.height
    return left / width, top / height, right / width, bottom / height


def _resized(image: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
    if preprocessing.resize is None:
        return image
    width, height = _target(image.size, preprocessing.resize)
    if width * height > MAX_RESIZED:
        raise InputError(
            f"the image has {image.width} x {image.height} pixels, too narrow for this model: "
            f"resized it would have {width} x {height}; the limit is {MAX_RESIZED:,} in all"
        )
    return image.resize((width, height), Image.Resampling[preprocessing.resample.upper()])


def _target(image: tuple[int, int], size: Size | ShortestEdge) -> tuple[int, int]:
    """Width and height to resize to, from those of an image."""
    if isinstance(size, Size):
        return size.width, size.height
    short, long = sorted(image)
    longest_edge = int(size.shortest_edge * long / short)
    if image[0] <= image[1]:
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
