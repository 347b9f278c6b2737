"""Curves of deletion and insertion, of a model whose answer hangs on single words."""

from tunewright.serving.explain.explaining import run_steps
from tunewright.serving.explain.faithfulness import curves, mean_curves
from tunewright.serving.explain.subject import Asked

TEXTS = (
    "This product is amazing and I love it!",
    "Terrible service: two weeks late, and a sad excuse for a manual.",
    "A great little lamp; my children are happy with it.",
)


def test_parts_that_weigh_move_the_score_sooner_than_random_ones(reviews, open_bundle):
    predictor = open_bundle(reviews)
    found = mean_curves([run_steps(predictor, curves(predictor, text, Asked(64))) for text in TEXTS])
    assert found.deletion < found.random_deletion - 0.1
    assert found.insertion > found.random_insertion + 0.1


def test_a_text_of_two_words_has_no_order_to_speak_of(reviews, open_bundle):
    predictor = open_bundle(reviews)
    assert run_steps(predictor, curves(predictor, "great lamp", Asked(64))) is None
