"""Images changed: cut, mirrored, coloured otherwise, or by RandAugment."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from tunewright.job.settings.remedies import AugmentSettings

_COLOURS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)

_STRENGTHS = 30
"""The largest strength of RandAugment, at which a change is as large as it may be."""
_OPERATIONS = 2
"""Changes of one image, as in the paper's settings for larger data and by default in torchvision."""
_FOLD = 150 / 331
"""The largest move, as a share of a side: 150 of the 331 pixels of the paper's images."""
Change = Callable[[Image.Image, float], Image.Image]
"""An image and how strongly, 0 to 1 and below 0 the other way, to the changed one."""


def _moved(*, across: float = 0.0, down: float = 0.0) -> Change:
    def change(image: Image.Image, share: float) -> Image.Image:
        by = -int(share * across * image.width), -int(share * down * image.height)
        return image.transform(image.size, Image.Transform.AFFINE, (1, 0, by[0], 0, 1, by[1]))

    return change


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance]) -> Change:
    return lambda image, share: kind(image).enhance(1 + 0.9 * share)


_CHANGES: dict[str, tuple[bool, Change]] = {
    "as it is": (False, lambda image, share: image),
    "sheared across": (True, lambda image, share: _sheared(image, (1, 0.3 * share, 0, 0, 1, 0))),
    "sheared down": (True, lambda image, share: _sheared(image, (1, 0, 0, 0.3 * share, 1, 0))),
    "moved across": (True, _moved(across=_FOLD)),
    "moved down": (True, _moved(down=_FOLD)),
    "turned": (True, lambda image, share: image.rotate(30 * share)),
    "brightness": (True, _enhanced(ImageEnhance.Brightness)),
    "saturation": (True, _enhanced(ImageEnhance.Color)),
    "contrast": (True, _enhanced(ImageEnhance.Contrast)),
    "sharpness": (True, _enhanced(ImageEnhance.Sharpness)),
    "fewer bits": (False, lambda image, share: ImageOps.posterize(image, 8 - round(4 * share))),
    "bright parts inverted": (False, lambda image, share: ImageOps.solarize(image, round(255 * (1 - share)))),
    "full contrast": (False, lambda image, share: ImageOps.autocontrast(image)),
    "even histogram": (False, lambda image, share: ImageOps.equalize(image)),
}
"""The fourteen changes of RandAugment (Cubuk et al. 2019, arXiv 1909.13719), as large as torchvision has them: whether
one goes both ways, and what it does."""


def _sheared(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


def rand_augmented(image: Image.Image, strength: int, random: np.random.Generator) -> tuple[Image.Image, list[str]]:
    """An RGB image with two of the changes, each as likely, at this strength; and which."""
    said = []
    for at in random.integers(0, len(_CHANGES), _OPERATIONS):
        name, (both_ways, change) = list(_CHANGES.items())[at]
        share = strength / _STRENGTHS
        image = change(image, -share if both_ways and random.random() < 0.5 else share)
        said.append(name)
    return image, said


def image_changed(
    image: Image.Image, settings: AugmentSettings, random: np.random.Generator
) -> tuple[Image.Image, str]:
    """The image, and what was done to it."""
    said = []
    if settings.crop:
        kept = 1 - settings.crop * random.random()
        width, height = (max(1, round(side * kept**0.5)) for side in image.size)
        left, top = (int(random.integers(0, room + 1)) for room in (image.width - width, image.height - height))
        image = image.crop((left, top, left + width, top + height))
        said.append(f"cut to {kept:.0%}")
    if settings.flip and random.random() < 0.5:
        image = ImageOps.mirror(image)
        said.append("mirrored")
    if settings.colour:
        factors = 1 + settings.colour * random.uniform(-1, 1, len(_COLOURS))
        for kind, factor in zip(_COLOURS, factors, strict=True):
            image = kind(image).enhance(float(factor))
        said.append("brightness, contrast, saturation " + ", ".join(f"{factor:.2f}" for factor in factors))
    if settings.rand_augment:
        image, names = rand_augmented(image, settings.rand_augment, random)
        said += names
    return image, ", ".join(said) or "as it is"
