"""Explanations of models whose answers are known to rest on one word, one square, one moment."""

import math

import pytest

from tunewright.serving.errors import InputError
from tunewright.serving.explain.explaining import explain, run_steps
from tunewright.serving.explain.subject import Asked


def explained(predictor, one, budget=64, target=None):
    (read,), _ = predictor.task.read_inputs([one], predictor.model)
    return run_steps(predictor, explain(predictor, read, Asked(budget, target)))


def top(explanation):
    return max(explanation["parts"], key=lambda part: part["weight"])


def on_scale(explanation, number):
    if explanation["scale"] == "score":
        return number
    number = min(max(number, 1e-6), 1 - 1e-6)
    return math.log(number / (1 - number))


def require_sum(explanation):
    weights = sum(part["weight"] for part in explanation["parts"])
    score, base = (on_scale(explanation, explanation[name]) for name in ("score", "base"))
    assert weights == pytest.approx(score - base, abs=1e-5)


def test_the_word_that_decides_weighs_most(reviews, open_bundle):
    text = "This product arrived broken after two weeks."
    (found,) = explained(open_bundle(reviews), text)
    assert found["target"] == "negative"
    part = top(found)
    assert (part["text"], text[part["start"] : part["end"]]) == ("broken", "broken")
    require_sum(found)


def test_the_score_is_the_one_that_is_answered(reviews, open_bundle):
    predictor = open_bundle(reviews)
    (found,) = explained(predictor, "I love this lamp")
    assert found["score"] == pytest.approx(predictor.predict(["I love this lamp"])[0][0]["score"])


def test_another_label_can_be_explained(reviews, open_bundle):
    (found,) = explained(open_bundle(reviews), "This lamp is great, but late.", target="negative")
    assert min(found["parts"], key=lambda part: part["weight"])["text"] == "great"
    with pytest.raises(InputError) as error:
        explained(open_bundle(reviews), "great", target="joy")
    assert str(error.value) == "parameter 'target' is 'joy'; this model's labels are: negative, positive"


def test_the_same_input_has_the_same_explanation(reviews, open_bundle):
    text = "A great little lamp; my children are happy with it, but it came two weeks late and is sad to look at."
    predictor = open_bundle(reviews)
    assert explained(predictor, text) == explained(predictor, text)


@pytest.mark.parametrize("budget", [1, 2, 4, 7, 30])
@pytest.mark.parametrize("text", ["", "great", "great lamp", "A great little lamp; my children are happy with it!"])
def test_no_more_rows_are_run_than_asked_for(reviews, open_bundle, budget, text):
    predictor, ran = open_bundle(reviews), 0
    steps = explain(predictor, text, Asked(budget))
    rows = next(steps)
    with pytest.raises(StopIteration) as done:
        while True:
            ran += len(rows)
            rows = steps.send(list(predictor.engine.run(rows)))
    (found,) = done.value.value
    assert ran == found["rows"] <= budget
    require_sum(found)


def test_both_texts_of_a_pair_have_parts(similarity, open_bundle):
    (found,) = explained(open_bundle(similarity), ["A man is playing.", "This lamp is terrible."])
    assert {part["field"] for part in found["parts"]} == {"text", "text_pair"}
    lowest = min(found["parts"], key=lambda part: part["weight"])
    assert (lowest["field"], lowest["text"]) == ("text_pair", "terrible")
    require_sum(found)
