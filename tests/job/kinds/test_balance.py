"""Whether labels are uneven."""

import pytest

from tunewright.job.kinds.balance import advice
from tunewright.job.settings.train import TrainSettings

UNEVEN = {"often": 94, "rare": 6}


def test_a_rare_label_is_named_with_what_helps():
    assert advice(UNEVEN, 100, TrainSettings(), "single_label") == (
        "'rare' is in 6.0% of the training rows, a label on the average in 50.0%: a model may learn to pass over it; "
        "train.imbalance: auto tries the remedies, or set train.class_weights: balanced with train.metric: macro_f1"
    )


def test_the_others_that_are_as_rare_are_counted_and_entities_have_no_macro_f1():
    said = advice({"a": 91, "b": 2, "c": 1}, 93, TrainSettings(), "entities")
    assert said.startswith(
        "'c' is in 1.1% of the training rows, a label on the average in 33.7% (and 1 more are as rare)"
    )
    assert said.endswith("or set train.class_weights: balanced")


@pytest.mark.parametrize(
    "settings",
    [
        {"class_weights": "balanced"},
        {"sampling": "over"},
        {"focal_gamma": 1},
        {"logit_adjustment": 1},
        {"imbalance": "auto"},
        {"threshold": {"label": "rare", "recall": 0.9}},
        {"few_shot": {}},
    ],
)
def test_nothing_is_said_where_somebody_has_thought_of_it(settings):
    assert advice(UNEVEN, 100, TrainSettings(**settings), "single_label") is None


def test_nothing_is_said_of_labels_that_are_even():
    assert advice({"a": 80, "b": 20}, 100, TrainSettings(), "single_label") is None
    assert advice({}, 1, TrainSettings(), "multi_label") is None
