"""Images changed."""

import numpy as np
from PIL import Image

from tunewright.job.batches.augment.images import _CHANGES, image_changed, rand_augmented
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


def test_rand_augment_makes_two_changes_others_for_each_image():
    found = [rand_augmented(PICTURE, 9, np.random.default_rng(seed)) for seed in range(60)]
    assert {len(said) for _, said in found} == {2}
    assert {name for _, said in found for name in said} == set(_CHANGES)
    assert all((image.size, image.mode) == (PICTURE.size, "RGB") for image, _ in found)
    again, _ = rand_augmented(PICTURE, 9, np.random.default_rng(3))
    assert np.array_equal(np.asarray(again), np.asarray(found[3][0]))


def change(name, share):
    return np.asarray(_CHANGES[name][1](PICTURE, share)).astype(int)


def test_the_changes_are_as_large_as_the_paper_has_them():
    plain = np.asarray(PICTURE).astype(int)
    # At the full strength 150 of 331 parts of a side; what comes in is black.
    by = int(150 / 331 * 60)
    assert np.array_equal(change("moved across", 1)[:, by:], plain[:, :-by])
    assert not change("moved across", 1)[:, :by].any()
    assert np.array_equal(change("moved down", -1)[: -int(150 / 331 * 40)], plain[int(150 / 331 * 40) :])
    assert np.array_equal(change("fewer bits", 1), plain & 0xF0)
    assert np.array_equal(change("bright parts inverted", 1), 255 - plain)
    assert np.array_equal(change("bright parts inverted", 0), np.where(plain >= 255, 255 - plain, plain))
    assert np.abs(change("brightness", -1) - plain * 0.1).max() <= 1
    for name, (both_ways, _) in _CHANGES.items():
        if both_ways:
            assert np.array_equal(change(name, 0), plain)
            assert not np.array_equal(change(name, 1), change(name, -1))
