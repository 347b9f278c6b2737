"""Image files to numbers, held against the processors of transformers."""

import base64
import contextlib
import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from transformers import (
    AutoImageProcessor,
    BeitImageProcessor,
    BitImageProcessor,
    CLIPImageProcessor,
    ConvNextImageProcessor,
    DeiTImageProcessor,
    ViTImageProcessor,
)
from transformers.image_utils import load_image

from tunewright.serving.errors import InputError, TooLarge
from tunewright.serving.media.image_file import decode, unfolded
from tunewright.serving.media.image_pixels import ImagePreprocessing, ShortestEdge, Size, pixels
from tunewright.serving.media.image_processor import read_preprocessing

PROCESSORS = {
    "vit": (ViTImageProcessor, {}),
    "vit of unequal sides": (ViTImageProcessor, {"size": {"height": 96, "width": 160}}),
    "vit as the image is": (ViTImageProcessor, {"do_resize": False}),
    "vit of one mean": (ViTImageProcessor, {"image_mean": 0.1, "image_std": 0.7}),
    "vit unscaled": (ViTImageProcessor, {"do_rescale": False}),
    "vit in sevenths": (ViTImageProcessor, {"rescale_factor": 1 / 7}),
    "vit scaled only": (ViTImageProcessor, {"do_normalize": False}),
    "deit": (DeiTImageProcessor, {}),
    "deit uncropped": (DeiTImageProcessor, {"do_center_crop": False}),
    "beit": (BeitImageProcessor, {}),
    "beit cropped": (BeitImageProcessor, {"size": 256, "do_center_crop": True}),
    "resnet": (ConvNextImageProcessor, {"size": {"shortest_edge": 224}, "crop_pct": 0.875}),
    "convnext of 383": (ConvNextImageProcessor, {"size": 383, "crop_pct": 0.9}),
    "convnext of 384": (ConvNextImageProcessor, {}),
    "convnext as the image is": (ConvNextImageProcessor, {"size": 224, "do_resize": False}),
    "clip": (CLIPImageProcessor, {}),
    "clip of exact size": (CLIPImageProcessor, {"size": {"height": 240, "width": 230}}),
    "clip cropped only": (CLIPImageProcessor, {"do_resize": False, "crop_size": 37}),
    "clip cropped beyond its edges": (CLIPImageProcessor, {"size": 50, "crop_size": {"height": 61, "width": 80}}),
    "bit": (BitImageProcessor, {}),
}
SIZES = ((28, 28), (641, 479), (101, 333), (5, 7), (2, 9), (400, 31), (1, 1))
FILTERS = range(6)


def picture(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def file_of(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def assert_equal_pixels(processor, image):
    # Told the format, as it takes a picture three pixels high for one of three channels.
    expected = processor(image, return_tensors="np", input_data_format="channels_last")["pixel_values"][0]
    got = pixels(image, read_preprocessing(processor.to_dict()))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_those_of_the_processor_bit_for_bit(name):
    kind, options = PROCESSORS[name]
    for resample in FILTERS:
        for size in SIZES:
            assert_equal_pixels(kind(resample=resample, **options), picture(*size))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([ViTImageProcessor, DeiTImageProcessor, ConvNextImageProcessor, CLIPImageProcessor]),
    st.sampled_from(FILTERS),
    st.integers(20, 60),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_pixels_are_those_of_the_processor_at_any_size(kind, resample, edge, size):
    assert_equal_pixels(kind(size=edge, resample=resample), picture(*size))


def test_a_large_photo_has_the_pixels_of_the_processor():
    for name in ("vit", "resnet", "clip"):
        kind, options = PROCESSORS[name]
        assert_equal_pixels(kind(**options), picture(3000, 2001))


def test_a_picture_three_pixels_high_is_not_taken_for_one_of_three_channels():
    """A fault of transformers up to 4 that we do not share: it guesses the axes, and guesses wrong."""
    image, processor = picture(40, 3), ViTImageProcessor()
    guessed = processor(image, return_tensors="np")["pixel_values"][0]
    is_right = np.allclose(pixels(image, read_preprocessing(processor.to_dict())), guessed)
    assert is_right is not transformers.__version__.startswith("4.")
    assert_equal_pixels(processor, image)


PHOTO = picture(33, 21)
GREY = PHOTO.convert("L")
PALETTE = PHOTO.convert("P", palette=Image.Palette.ADAPTIVE, colors=17)
TRANSPARENT = Image.merge("RGBA", (*PHOTO.split(), GREY))
FILES = {
    "jpeg": file_of(PHOTO, "JPEG"),
    "progressive jpeg": file_of(PHOTO, "JPEG", progressive=True),
    "grey jpeg": file_of(GREY, "JPEG"),
    "cmyk jpeg": file_of(PHOTO.convert("CMYK"), "JPEG"),
    "several pictures in a jpeg": file_of(PHOTO, "MPO", save_all=True, append_images=[picture(33, 21, seed=1)]),
    "png": file_of(PHOTO),
    "digit": file_of(GREY.resize((28, 28))),
    "palette png": file_of(PALETTE),
    "palette with a transparent colour": file_of(PALETTE, transparency=3),
    "palette with alpha": file_of(PALETTE, transparency=bytes(range(0, 170, 10))),
    "rgba png": file_of(TRANSPARENT),
    "grey with alpha": file_of(TRANSPARENT.convert("LA")),
    "black and white": file_of(PHOTO.convert("1")),
    "webp": file_of(PHOTO, "WEBP"),
    "rgba webp": file_of(TRANSPARENT, "WEBP", lossless=True),
    "moving webp": file_of(PHOTO, "WEBP", save_all=True, append_images=[picture(33, 21, seed=1)]),
    "gif": file_of(PALETTE, "GIF"),
    "moving gif": file_of(PALETTE, "GIF", save_all=True, append_images=[picture(33, 21, seed=1)]),
    "bmp": file_of(PHOTO, "BMP"),
    "tiff": file_of(PHOTO, "TIFF"),
    "compressed tiff": file_of(PHOTO, "TIFF", compression="tiff_lzw"),
    "cmyk tiff": file_of(PHOTO.convert("CMYK"), "TIFF"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_decodes_to_what_a_pipeline_reads(name):
    expected = load_image(base64.b64encode(FILES[name]).decode())
    if name == "palette with a transparent colour":  # which transformers 5 paints white
        expected = Image.open(io.BytesIO(FILES[name])).convert("RGB")
    got = decode(FILES[name])
    assert got.mode == "RGB"
    np.testing.assert_array_equal(got, expected)
    # Without what the file says of transparency, which transformers 5 would paint white here too.
    assert_equal_pixels(CLIPImageProcessor(), Image.fromarray(np.asarray(got)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_says(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(PHOTO, "PNG", exif=exif)
    got = decode(data)
    assert got.size == ((33, 21) if orientation < 5 else (21, 33))
    np.testing.assert_array_equal(got, load_image(base64.b64encode(data).decode()))


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B")])
def test_grey_of_16_bits_keeps_its_upper_8(kind, mode):
    """A fault of Pillow, and so of a pipeline, that we do not share: it makes white of all that is above 255."""
    image = Image.new(mode, (2, 1))
    image.putpixel((0, 0), 0x1234)
    image.putpixel((1, 0), 0xFEDC)
    data = file_of(image, kind)
    assert np.asarray(decode(data)).tolist() == [[[0x12] * 3, [0xFE] * 3]]
    assert np.asarray(load_image(base64.b64encode(data).decode())).tolist() == [[[0xFF] * 3, [0xFF] * 3]]


def png_of(width, height, *chunks):
    """A PNG file of RGB that says how large it is, and then has these chunks of no content."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), *((kind, b"") for kind in chunks)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def tiff_of_one_tile(edge):
    """A TIFF file of 16 x 16 pixels, stored in one tile of black that is much larger."""
    tile = zlib.compress(bytes(3 * edge * edge))
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 2, 277: 3, 284: 1, 322: edge, 323: edge, 324: 8, 325: len(tile)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(tile)) + tile + struct.pack("<H", len(tags)) + entries + bytes(4)


REFUSED = {
    "nothing": (b"", "the content is not an image that can be read; send JPEG, PNG, WEBP, GIF, BMP, TIFF"),
    "text": (b"hello", "the content is not an image that can be read; send JPEG, PNG, WEBP, GIF, BMP, TIFF"),
    "another format": (
        file_of(PHOTO, "PPM"),
        "the content is not an image that can be read; send JPEG, PNG, WEBP, GIF, BMP, TIFF",
    ),
    "half a file": (
        FILES["bmp"][:999],
        "the image is damaged or cut off: image file is truncated (45 bytes not processed)",
    ),
    "integers of 32 bits": (
        file_of(Image.new("I", (4, 4)), "TIFF"),
        "the image has 32 bits per pixel, which have no agreed range; save it with 8 or 16",
    ),
    "a damaged file": (
        png_of(9, 9, b"IDAT", b"\0DAT"),
        "the image is damaged or cut off: broken PNG file (chunk b'\\x00DAT')",
    ),
    "floats": (
        file_of(Image.new("F", (4, 4)), "TIFF"),
        "the image has 32 bits per pixel, which have no agreed range; save it with 8 or 16",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_decode_is_refused_in_one_sentence(name):
    data, sentence = REFUSED[name]
    with pytest.raises(InputError) as caught:
        decode(data)
    assert str(caught.value) == sentence


TOO_LARGE = {
    "a bomb": (
        png_of(12_000, 12_000, b"IDAT"),
        "the image has 12000 x 12000 pixels and unfolds into 576,096,000 bytes; the limit is 536,870,912",
    ),
    "a large bomb": (
        png_of(60_000, 60_000, b"IDAT"),
        "the image has more pixels than any that is decoded; send a smaller one",
    ),
    "a bomb in a tile": (
        tiff_of_one_tile(12_000),
        "the image has 16 x 16 pixels and unfolds into 576,001,152 bytes; the limit is 536,870,912",
    ),
    "a long one": (png_of(40_000, 1, b"IDAT"), "the image has 40000 x 1 pixels; the limit is 32,768 on a side"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_would_unfold_into_too_much_is_not_decoded(name):
    data, sentence = TOO_LARGE[name]
    with pytest.raises(TooLarge) as caught:
        decode(data)
    assert str(caught.value) == sentence


def test_a_tile_within_the_limit_decodes():
    assert decode(tiff_of_one_tile(64)).size == (16, 16)


def test_the_limits_are_the_callers():
    most = unfolded(FILES["png"])
    assert decode(FILES["png"], max_bytes=len(FILES["png"]), max_unfolded=most)
    with pytest.raises(TooLarge) as caught:
        decode(FILES["png"], max_unfolded=most - 1)
    assert str(caught.value) == (
        f"the image has 33 x 21 pixels and unfolds into {most:,} bytes; the limit is {most - 1:,}"
    )
    with pytest.raises(TooLarge) as caught:
        decode(bytes(1001), max_bytes=1000)
    assert str(caught.value) == "the image has 1,001 bytes; the limit is 1,000"


@pytest.mark.parametrize("size", [(4000, 3000), (6000, 4000), (3000, 9000)])
def test_a_photo_of_many_pixels_is_decoded_at_a_part_of_its_size(size):
    data = file_of(Image.linear_gradient("L").convert("RGB").resize(size), "JPEG")
    image = decode(data)
    assert 8_000_000 / 4 < image.width * image.height <= 8_000_000
    assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.01)
    assert unfolded(data) < 64 << 20


def test_a_photo_of_few_pixels_keeps_every_one():
    assert decode(file_of(Image.new("RGB", (2828, 2828)), "JPEG")).size == (2828, 2828)


_MEASURE = """
import sys
from pathlib import Path
from tunewright.serving.media.image_file import decode, unfolded
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
data = Path(sys.argv[1]).read_bytes()
decode(Path(sys.argv[2]).read_bytes())
said, before = unfolded(data), peak()
after_header = peak()
decode(data)
print(said, after_header - before, peak() - after_header)
"""


def turned(image):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return file_of(image, "JPEG", exif=exif)


UNFOLDING = {
    "JPEG": lambda image: file_of(image, "JPEG"),
    "progressive JPEG": lambda image: file_of(image, "JPEG", progressive=True, subsampling=0),
    "progressive JPEG of few colours": lambda image: file_of(image, "JPEG", progressive=True),
    "JPEG of four colours": lambda image: file_of(image.convert("CMYK"), "JPEG"),
    "turned JPEG": turned,
    "lossless WEBP": lambda image: file_of(image, "WEBP", lossless=True),
    "WEBP": lambda image: file_of(image, "WEBP"),
    "PNG": lambda image: file_of(image, "PNG"),
    "PNG with alpha": lambda image: file_of(image.convert("RGBA"), "PNG"),
    "PNG of one bit": lambda image: file_of(image.convert("1"), "PNG"),
    "PNG of 16 bits": lambda image: file_of(Image.new("I;16", image.size), "PNG"),
    "GIF": lambda image: file_of(image.convert("P"), "GIF"),
    "TIFF": lambda image: file_of(image, "TIFF", compression="tiff_deflate", strip_size=1 << 30),
    "BMP": lambda image: file_of(image, "BMP"),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell a process its peak memory")
@pytest.mark.parametrize("name", UNFOLDING)
def test_what_the_header_says_is_what_decoding_takes(name, tmp_path):
    """Not less than the process really takes, and reading the header takes nothing."""
    (tmp_path / "large").write_bytes(UNFOLDING[name](Image.new("RGB", (1, 1)).resize((2800, 2800))))
    (tmp_path / "small").write_bytes(UNFOLDING[name](Image.new("RGB", (8, 8))))
    command = [sys.executable, "-c", _MEASURE, str(tmp_path / "large"), str(tmp_path / "small")]
    said, header, taken = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert header < 1 << 20
    assert taken < said * 1.02 + (2 << 20)
    assert said < taken * 2


def test_an_image_that_would_unfold_when_resized_is_refused():
    with pytest.raises(InputError) as caught:
        pixels(picture(1, 2000), read_preprocessing({"image_processor_type": "CLIPImageProcessor"}))
    assert str(caught.value) == (
        "the image has 1 x 2000 pixels, too narrow for this model: "
        "resized it would have 224 x 448000; the limit is 16,000,000 in all"
    )


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.floats(0.2, 1),
)
def test_damaged_bytes_decode_or_are_an_error_of_the_request(name, changes, kept):
    data = bytearray(FILES[name])
    for place, value in changes:
        data[int(place * len(data))] = value
    # Any other exception fails the test.
    with contextlib.suppress(InputError, TooLarge):
        assert decode(bytes(data[: int(kept * len(data))])).mode == "RGB"


OLDER = {
    "resnet-50": (
        "resnet",
        {
            "crop_pct": 0.875,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "ConvNextFeatureExtractor",
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "resample": 3,
            "size": 224,
        },
    ),
    "vit without a class": (
        "vit",
        {
            "do_normalize": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "size": 224,
        },
    ),
    "swin": (
        "swin",
        {
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "ViTFeatureExtractor",
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "resample": 3,
            "size": [224, 192],
        },
    ),
    "clip": (
        "clip",
        {
            "crop_size": 224,
            "do_center_crop": True,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3,
            "size": 224,
        },
    ),
    "deit": (
        "deit",
        {"crop_size": 224, "feature_extractor_type": "DeiTFeatureExtractor", "resample": 3, "size": 256},
    ),
    "beit": (
        "beit",
        {
            "crop_size": 224,
            "do_center_crop": False,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "BeitFeatureExtractor",
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "resample": 2,
            "size": 224,
        },
    ),
    "fast vit": (
        "vit",
        {
            "crop_size": None,
            "data_format": "channels_first",
            "default_to_square": True,
            "device": None,
            "do_center_crop": None,
            "do_convert_rgb": None,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "ViTImageProcessorFast",
            "image_std": [0.5, 0.5, 0.5],
            "input_data_format": None,
            "resample": 2,
            "rescale_factor": 0.00392156862745098,
            "return_tensors": None,
            "size": {"height": 224, "width": 224},
        },
    ),
}


@pytest.mark.parametrize("name", OLDER)
def test_a_file_means_what_transformers_makes_of_it(name, tmp_path):
    model_type, config = OLDER[name]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    processor = AutoImageProcessor.from_pretrained(tmp_path, use_fast=False)
    expected = processor(PHOTO, return_tensors="np")["pixel_values"][0]
    np.testing.assert_array_equal(pixels(PHOTO, read_preprocessing(config, model_type=model_type)), expected)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"image_processor_type": "DPTImageProcessor"},
            "preprocessor_config.json names 'DPTImageProcessor', which this program does not know; supported: "
            "ViTImageProcessor, DeiTImageProcessor, BeitImageProcessor, ConvNextImageProcessor, CLIPImageProcessor, "
            "BitImageProcessor",
        ),
        (
            {"image_processor_type": "ViTImageProcessor", "do_center_crop": True},
            "preprocessor_config.json sets 'do_center_crop' to true, which is not supported; ViTImageProcessor knows: "
            "do_resize, resample, do_rescale, rescale_factor, do_normalize, image_mean, image_std, size",
        ),
        (
            {"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 224}},
            "preprocessor_config.json sets 'size' to {'shortest_edge': 224}: "
            'give [height, width], {"height": ..., "width": ...} or a whole number',
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": [224, 224]},
            "preprocessor_config.json sets 'size' to [224, 224]: give a whole number or {\"shortest_edge\": ...}",
        ),
        (
            {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 224, "longest_edge": 300}},
            "preprocessor_config.json sets 'size' to {'shortest_edge': 224, 'longest_edge': 300}: "
            'give [height, width], {"height": ..., "width": ...}, a whole number or {"shortest_edge": ...}',
        ),
        (
            {"image_processor_type": "ViTImageProcessor", "resample": 6},
            "preprocessor_config.json sets 'resample' to 6: Input should be less than or equal to 5",
        ),
        (
            {"image_processor_type": "ViTImageProcessor", "image_mean": [0.5, 0.5]},
            "preprocessor_config.json sets 'image_mean' to [0.5, 0.5]: give a number, or three",
        ),
        (
            {"image_processor_type": "ViTImageProcessor", "image_std": [0.5, 0.5, 0]},
            "preprocessor_config.json sets 'image_std' to [0.5, 0.5, 0]: a channel cannot be divided by 0",
        ),
    ],
)
def test_a_file_that_asks_for_something_else_is_refused(config, sentence):
    with pytest.raises(ValueError) as caught:
        read_preprocessing(config)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", PROCESSORS)
def test_preprocessing_comes_back_from_json(name):
    kind, options = PROCESSORS[name]
    preprocessing = read_preprocessing(kind(**options).to_dict())
    assert ImagePreprocessing.model_validate_json(preprocessing.model_dump_json()) == preprocessing


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"mean": (0.5, 0.5, 0.5)}, "mean and std are given together or not at all"),
        ({"mean": (0.5, 0.5, 0.5), "std": (1, 0, 1)}, "a channel cannot be divided by 0"),
        ({"resize": {"height": 4, "width": 4, "shortest_edge": 4}}, "Extra inputs are not permitted"),
    ],
)
def test_preprocessing_that_contradicts_itself_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        ImagePreprocessing(**fields)


def test_the_steps_of_a_resnet_are_said_plainly():
    preprocessing = read_preprocessing(OLDER["resnet-50"][1])
    assert preprocessing.resize == ShortestEdge(shortest_edge=256)
    assert preprocessing.resample == "bicubic"
    assert preprocessing.crop == Size(height=224, width=224)
