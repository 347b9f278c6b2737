"""Image files to pixels: what is decoded, and what that may cost."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import (
    ExifTags,
    Image,
    ImageOps,
    JpegImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from tunewright.serving.errors import InputError, TooLarge
from tunewright.serving.request.files import MAX_BYTES

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What is decoded; of an animation, the first frame."""
MAX_UNFOLDED = 512 << 20
"""Bytes of memory that one image may unfold into, where the caller sets no other limit."""
MAX_SIDE = 32_768
"""Rows or columns of one image: what resizing costs grows with them, whatever the other side is."""
REDUCED_FROM = 8_000_000
"""Pixels of a JPEG from which on the decoder itself halves it, as often as needed: a photo of any camera fits."""


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
