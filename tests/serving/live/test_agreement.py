"""Whether two answers come to the same, for answers of every kind."""

import pytest

from tunewright.serving.live.agreement import agree, kept

TAG = {"entity_group": "PER", "start": 0, "end": 3, "score": 0.9, "word": "Ada"}


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ([{"label": "a", "score": 0.9}], [{"label": "a", "score": 0.6}], [{"label": "b", "score": 0.9}]),
        (
            [{"label": "a", "score": 0.9, "predicted": True}, {"label": "b", "score": 0.6, "predicted": True}],
            [{"label": "b", "score": 0.9, "predicted": True}, {"label": "a", "score": 0.6, "predicted": True}],
            [{"label": "a", "score": 0.9, "predicted": True}, {"label": "b", "score": 0.6, "predicted": False}],
        ),
        ([TAG], [TAG | {"score": 0.5}], [TAG | {"end": 4}]),
        ([], [], [TAG]),
        ({"answer": "Paris", "score": 0.9}, {"answer": "Paris", "score": 0.2}, {"answer": "Rome", "score": 0.9}),
        ([{"generated_text": "yes"}], [{"generated_text": "yes"}], [{"generated_text": "no"}]),
        ({"translation_text": "ja"}, {"translation_text": "ja"}, {"translation_text": "nein"}),
        (
            [[{"token_str": "cat", "score": 0.9}], [{"token_str": "mat", "score": 0.9}]],
            [[{"token_str": "cat", "score": 0.5}], [{"token_str": "mat", "score": 0.9}]],
            [[{"token_str": "cat", "score": 0.9}], [{"token_str": "hat", "score": 0.9}]],
        ),
        ([1.0, 0.0, 0.2], [0.9, 0.05, 0.2], [0.0, 1.0, 0.2]),
        ([1.0, 0.0], [1.0, 0.0], [1.0, 0.0, 0.0]),
    ],
)
def test_what_an_answer_comes_to_is_compared(reviews, open_bundle, one, same, other):
    predictor = open_bundle(reviews)
    assert agree(one, same, predictor)
    assert not agree(one, other, predictor)


def test_numbers_may_differ_by_what_the_version_is_off(similarity, make_bundle, recipe, edit_model, open_bundle):
    def number(value):
        return [{"label": "score", "score": value}]

    unmeasured = open_bundle(similarity)
    assert agree(number(4.0), number(4.1), unmeasured)
    assert not agree(number(4.0), number(4.5), unmeasured)
    folder = make_bundle(recipe(problem="regression", labels=("score",), pair=True, task="text-regression"))
    variants = unmeasured.model.model_dump()["variants"]
    variants["fp32"]["metrics"] = {"rmse": 0.6}
    edit_model(folder, variants=variants)
    measured = open_bundle(folder)
    assert agree(number(4.0), number(4.5), measured)
    assert not agree(number(4.0), number(4.7), measured)
    assert kept(number(4.5), measured, texts=False) == 4.5


def test_texts_are_kept_as_digests_unless_wanted(reviews, open_bundle):
    predictor = open_bundle(reviews)
    written = [{"generated_text": "a secret"}]
    assert kept(written, predictor, texts=False) == "sha256:984ca5162200734c"
    assert kept(written, predictor, texts=True) == "a secret"
    assert kept([{"label": "positive", "score": 1.0}], predictor, texts=False) == "positive"
    assert kept([0.5, 0.25], predictor, texts=True) == "2 numbers"
