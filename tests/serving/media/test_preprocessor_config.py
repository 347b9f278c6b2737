"""preprocessor_config.json."""

import pytest
from pydantic import BaseModel, ConfigDict, StrictBool

from tunewright.serving.media.preprocessor_config import processor_class, read_settings

SUPPORTED = {"ViTImageProcessor": ("vit", "swin"), "Wav2Vec2FeatureExtractor": ("wav2vec2",)}


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    do_resize: StrictBool = True
    edge: int = 224


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"image_processor_type": "ViTImageProcessor"}, "ViTImageProcessor"),
        ({"image_processor_type": "ViTImageProcessorFast"}, "ViTImageProcessor"),
        ({"image_processor_type": "ViTFeatureExtractor"}, "ViTImageProcessor"),
        ({"feature_extractor_type": "ViTFeatureExtractor"}, "ViTImageProcessor"),
        ({"feature_extractor_type": "Wav2Vec2FeatureExtractor"}, "Wav2Vec2FeatureExtractor"),
        ({"image_processor_type": "ViTImageProcessor", "feature_extractor_type": "Other"}, "ViTImageProcessor"),
    ],
)
def test_a_class_is_known_by_all_the_names_it_had(config, name):
    assert processor_class(config, SUPPORTED, model_type="wav2vec2") == name


def test_a_file_without_a_class_means_that_of_its_model():
    assert processor_class({"size": 224}, SUPPORTED, model_type="swin") == "ViTImageProcessor"


@pytest.mark.parametrize(
    ("config", "model_type", "sentence"),
    [
        (
            {"image_processor_type": "SamImageProcessor"},
            "vit",
            "preprocessor_config.json names 'SamImageProcessor', which this program does not know; "
            "supported: ViTImageProcessor, Wav2Vec2FeatureExtractor",
        ),
        (
            {"image_processor_type": ["ViT"]},
            "vit",
            "preprocessor_config.json names ['ViT'], which this program does not know; "
            "supported: ViTImageProcessor, Wav2Vec2FeatureExtractor",
        ),
        (
            {},
            None,
            "preprocessor_config.json names no image_processor_type or feature_extractor_type; "
            "supported: ViTImageProcessor, Wav2Vec2FeatureExtractor",
        ),
        (
            {},
            "sam",
            "preprocessor_config.json names no image_processor_type or feature_extractor_type, and none is known for "
            "a model of type 'sam'; supported: ViTImageProcessor, Wav2Vec2FeatureExtractor",
        ),
    ],
)
def test_an_unknown_class_is_refused_with_the_known_ones(config, model_type, sentence):
    with pytest.raises(ValueError) as caught:
        processor_class(config, SUPPORTED, model_type=model_type)
    assert str(caught.value) == sentence


def test_what_changes_no_number_is_passed_over():
    config = {"image_processor_type": "X", "edge": None, "do_pad": False, "pad_size": None, "do_convert_rgb": True}
    assert read_settings(Settings, config, "X") == Settings()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"do_pad": True},
            "preprocessor_config.json sets 'do_pad' to true, which is not supported; X knows: do_resize, edge",
        ),
        (
            {"offset": 0},
            "preprocessor_config.json sets 'offset' to 0, which is not supported; X knows: do_resize, edge",
        ),
        (
            {"do_resize": "no"},
            "preprocessor_config.json sets 'do_resize' to 'no': Input should be a valid boolean",
        ),
        (
            {"do_resize": None},
            "preprocessor_config.json sets 'do_resize' to null: Input should be a valid boolean",
        ),
    ],
)
def test_a_step_that_is_not_known_is_refused(config, sentence):
    with pytest.raises(ValueError) as caught:
        read_settings(Settings, config, "X")
    assert str(caught.value) == sentence
