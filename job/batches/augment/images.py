"""Images changed: cut, mirrored, coloured otherwise."""

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from tunewright.job.settings.remedies import AugmentSettings

_COLOURS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


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
    return image, ", ".join(said) or "as it is"
