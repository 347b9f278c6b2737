import pytest

from tunewright.job.commands.predict import predict
from tunewright.job.errors import SettingsError
from tunewright.registry.errors import NotFound
from tunewright.serving.errors import BundleError


def test_a_registered_version_answers_each_input(made):
    answers = predict("tiny@production", ["I love the lamp", "ok"], None, made("single").registry)
    assert [len(answer) for answer in answers] == [2, 2]
    assert {item["label"] for item in answers[0]} == {"with", "without"}


@pytest.mark.slow
def test_a_pair_is_given_as_json(made):
    registry = made("pair").registry
    (listed,) = predict("tiny:1", ['["a good lamp", "the lamp is good"]'], "fp32", registry)
    (named,) = predict("tiny:1", ['{"text": "a good lamp", "text_pair": "the lamp is good"}'], "fp32", registry)
    assert listed == named


def test_text_that_looks_like_a_number_is_text(made):
    assert predict("tiny:1", ["42"], None, made("single").registry)


@pytest.mark.slow
def test_an_input_the_model_does_not_take_is_one_sentence(made):
    with pytest.raises(SettingsError, match=r"inputs"):
        predict("tiny:1", ["only one text"], None, made("pair").registry)


def test_a_model_or_variant_that_is_not_there_is_named(made):
    with pytest.raises(NotFound, match="nothing"):
        predict("nothing@production", ["a"], None, made("single").registry)
    with pytest.raises(BundleError, match="this version has no variant 'fp16'"):
        predict("tiny:1", ["a"], "fp16", made("single").registry)
