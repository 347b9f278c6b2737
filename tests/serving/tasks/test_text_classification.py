"""Text classification, answered."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.serving.bundle.model_file import read_model_file
from tunewright.serving.errors import InputError
from tunewright.serving.runtime.scores import scores
from tunewright.serving.tasks.text_classification import answer as answer_of
from tunewright.serving.tasks.text_classification import read_parameters, shapes


@pytest.fixture
def answer(reviews, emotions):
    """The answer to one row of logits."""

    def decode(logits, *, multi_label=False, **parameters):
        model = read_model_file(emotions if multi_label else reviews)
        return answer_of(np.array(logits, dtype=np.float32), model, read_parameters(parameters, model))

    return decode


def test_labels_come_best_first_with_scores_that_sum_to_one(answer):
    first, second = answer([0.0, np.log(3)])
    assert (first["label"], second["label"]) == ("positive", "negative")
    assert (first["score"], second["score"]) == (pytest.approx(0.75), pytest.approx(0.25))


def test_top_k_keeps_the_best_and_may_be_more_than_there_are(answer):
    assert [item["label"] for item in answer([2.0, 1.0], top_k=1)] == ["negative"]
    assert len(answer([2.0, 1.0], top_k=100)) == 2


@pytest.mark.parametrize(
    ("function", "score"), [("softmax", 0.731059), ("sigmoid", 0.880797), ("none", 2.0), (None, 0.731059)]
)
def test_function_to_apply_turns_logits_into_scores(answer, function, score):
    assert answer([2.0, 1.0], function_to_apply=function)[0]["score"] == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize(("function", "score"), [("softmax", 0.622459), ("sigmoid", 0.731059), ("none", 2.0)])
def test_a_temperature_divides_the_logits_that_become_scores(reviews, function, score):
    model, logits = read_model_file(reviews), np.array([2.0, 1.0], dtype=np.float32)
    parameters = read_parameters({"function_to_apply": function}, model)
    assert answer_of(logits, model, parameters, temperature=2.0)[0]["score"] == pytest.approx(score, abs=1e-6)


def test_each_variant_is_served_with_its_own_temperature(make_bundle, open_bundle, edit_model):
    folder = make_bundle()
    model = read_model_file(folder)
    variants = {name: one.model_dump() for name, one in model.variants.items()}
    variants["int8"]["temperature"] = 2.0
    edit_model(folder, variants=variants)
    for name, temperature in (("fp32", 1.0), ("int8", 2.0)):
        predictor = open_bundle(folder, variant=name)
        (logits,), (answer,) = predictor.outputs(["good"]), predictor.predict(["good"])
        assert predictor.temperature == temperature
        assert answer[0]["score"] == pytest.approx(float(scores(logits / temperature, "softmax").max()), abs=1e-7)


def test_a_threshold_holds_for_scores_of_tempered_logits(emotions):
    model = read_model_file(emotions)  # joy 0.5, anger 0.4
    found = answer_of(np.array([1.0, -0.5, -9.0], np.float32), model, read_parameters({}, model), temperature=2.0)
    assert [(one["label"], one["predicted"]) for one in found] == [("joy", True), ("anger", True), ("surprise", False)]
    assert found[1]["score"] == pytest.approx(0.437823, abs=1e-6)


def test_multi_label_scores_are_independent_and_compared_with_their_thresholds(answer):
    items = answer([0.0, -0.3, 3.0], multi_label=True)
    assert [(item["label"], item["predicted"]) for item in items] == [
        ("surprise", False),
        ("joy", True),
        ("anger", True),
    ]
    assert items[2]["score"] == pytest.approx(0.425557, abs=1e-6)


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_a_threshold_holds_for_the_sigmoid_whatever_the_caller_applies(answer, function):
    items = answer([0.1, -3.0, 9.0], multi_label=True, function_to_apply=function)
    assert {item["label"]: item["predicted"] for item in items} == {"joy": True, "anger": False, "surprise": True}


def test_a_score_on_the_threshold_is_reached(answer):
    assert {item["label"]: item["predicted"] for item in answer([0.0, 0.0, 0.0], multi_label=True)}["joy"] is True


@given(
    st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=6), st.sampled_from(["softmax", "sigmoid"])
)
def test_scores_of_any_logits_are_between_zero_and_one(logits, function):
    row = scores(np.array([logits], dtype=np.float32), function)
    assert ((row >= 0) & (row <= 1)).all()


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"top_k": 0}, "parameter 'top_k' is 0: Input should be greater than or equal to 1"),
        ({"top_k": True}, "parameter 'top_k' is true: Input should be a valid integer"),
        ({"top_k": "3"}, "parameter 'top_k' is '3': Input should be a valid integer"),
        (
            {"function_to_apply": "relu"},
            "parameter 'function_to_apply' is 'relu': Input should be 'softmax', 'sigmoid' or 'none'",
        ),
        ({"k": 1}, "unknown parameter 'k'; text-classification knows: top_k, function_to_apply, min_score, abstain"),
        ({"min_score": 1.5}, "parameter 'min_score' is 1.5: Input should be less than or equal to 1"),
        (
            {"abstain": True},
            "abstain takes the min_score of the version, which has none for fp32, int8; send min_score, or train a "
            "version with export.abstain",
        ),
    ],
)
def test_a_wrong_parameter_is_named_with_its_value(reviews, parameters, sentence):
    with pytest.raises(InputError) as caught:
        read_parameters(parameters, read_model_file(reviews))
    assert str(caught.value) == sentence


def test_several_labels_abstain_by_their_thresholds(emotions):
    with pytest.raises(InputError) as caught:
        read_parameters({"min_score": 0.5}, read_model_file(emotions))
    assert str(caught.value) == (
        "min_score and abstain are for one label a row; of several labels each has a threshold, and 'predicted' says "
        "whether it is reached"
    )


def test_no_label_is_answered_where_none_is_sure_enough_and_only_where_asked(answer):
    logits = [0.0, np.log(3)]
    assert answer(logits, min_score=0.8) == [{"label": None, "score": pytest.approx(0.75)}]
    assert [one["label"] for one in answer(logits, min_score=0.7)] == ["positive", "negative"]
    assert answer(logits, min_score=0.8, top_k=1)[0]["label"] is None
    assert answer(logits)[0]["label"] == "positive"
    # Softmax decides, whatever the score is that is answered.
    assert answer(logits, min_score=0.8, function_to_apply="none")[0]["label"] is None
    assert answer(logits, min_score=0.7, function_to_apply="sigmoid")[0]["label"] == "positive"
    # A score that is the least one is answered.
    assert answer([0.0, 0.0], min_score=0.5)[0]["label"] == "negative"


def test_the_document_names_the_parameters_that_the_version_takes(make_bundle, edit_model, emotions):
    folder = make_bundle()
    assert [*shapes(read_model_file(emotions)).parameters["properties"]] == ["top_k", "function_to_apply"]
    assert "abstain" not in shapes(read_model_file(folder)).parameters["properties"]
    variants = {name: one.model_dump() | {"min_score": 0.9} for name, one in read_model_file(folder).variants.items()}
    edit_model(folder, variants=variants)
    assert {"min_score", "abstain"} <= set(shapes(read_model_file(folder)).parameters["properties"])


def test_each_variant_abstains_by_its_own_score(make_bundle, open_bundle, edit_model):
    folder = make_bundle()
    variants = {name: one.model_dump() for name, one in read_model_file(folder).variants.items()}
    variants["fp32"]["min_score"], variants["int8"]["min_score"] = 0.0, 1.0
    edit_model(folder, variants=variants)
    for name, labels in (("fp32", {"negative"}), ("int8", {None})):
        predictor = open_bundle(folder, variant=name)
        assert {one[0]["label"] for one in predictor.predict(["sad"], {"abstain": True})} == labels
        assert predictor.predict(["sad"])[0][0]["label"] == "negative"


def test_requests_with_other_parameters_share_a_run(reviews, open_bundle, require_shared_run):
    first = (["a great lamp", "I hate this product"], {"top_k": 1})
    second = (["a sad guitar that is broken", "happy"], {"function_to_apply": "sigmoid"})
    require_shared_run(open_bundle(reviews), first, second)
