"""Images changed."""

import numpy as np
from PIL import Image

from tunewright.job.batches.augment.images import image_changed
from tunewright.job.settings.remedies import AugmentSettings

PICTURE = Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 60, 3))


def made(seed=1, **settings):
    return image_changed(PICTURE, AugmentSettings(**settings), np.random.default_rng(seed))


def test_a_cut_is_a_part_of_the_image_in_its_proportions():
    for seed in range(20):
        image, said = made(seed, crop=0.5)
        assert image.width * image.height >= 0.45 * 40 * 60
        assert abs(image.width / image.height - 1.5) < 0.1
        assert said.startswith("cut to ")


def test_every_other_image_is_mirrored():
    found = [made(seed, flip=True) for seed in range(40)]
    mirrored = [image for image, said in found if said == "mirrored"]
    assert 10 < len(mirrored) < 30
    assert np.array_equal(np.asarray(mirrored[0])[:, ::-1], np.asarray(PICTURE))
    assert all(image is PICTURE for image, said in found if said == "as it is")


def test_colours_change_and_the_size_does_not():
    image, said = made(colour=0.5)
    assert image.size == PICTURE.size
    assert not np.array_equal(np.asarray(image), np.asarray(PICTURE))
    assert said.startswith("brightness, contrast, saturation ")
