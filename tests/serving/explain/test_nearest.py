"""The training rows nearest to an input, and runs that hold rows of both kinds."""

from dataclasses import replace

import numpy as np
import pytest

from tunewright.serving.explain.explaining import run_steps
from tunewright.serving.explain.nearest import nearest

TEXTS = ["I hate this product, it arrived broken.", "A man is playing a guitar while somebody makes music."]


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_training_row_is_nearest_to_itself(remembered, open_bundle, variant):
    predictor = open_bundle(remembered, variant=variant)
    for text in TEXTS:
        found = run_steps(predictor, nearest(predictor, text, 3))
        assert found["neighbours"][0]["text"] == text
        assert [row["similarity"] for row in found["neighbours"]] == sorted(
            (row["similarity"] for row in found["neighbours"]), reverse=True
        )
        best = predictor.predict([text])[0][0]
        assert (found["target"], found["score"]) == (best["label"], pytest.approx(best["score"], rel=1e-4))


def test_rows_that_want_vectors_share_a_run_with_those_that_do_not(remembered, open_bundle):
    predictor = open_bundle(remembered)
    rows = predictor.prepare(TEXTS, predictor.task.read_parameters({}, predictor.model))
    mixed = predictor.engine.run_once([rows[0], replace(rows[0], wants_vector=True), rows[1]])
    expected = [predictor.outputs(TEXTS)[0], predictor.vectors(TEXTS[:1])[0], predictor.outputs(TEXTS)[1]]
    for one, other in zip(mixed, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_graph_that_hands_out_its_vectors_answers_as_before(remembered, reviews, open_bundle):
    with_them, without = open_bundle(remembered, variant="fp32"), open_bundle(reviews, variant="fp32")
    np.testing.assert_array_equal(with_them.outputs(TEXTS), without.outputs(TEXTS))
