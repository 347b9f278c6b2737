"""Exact match and F1 as SQuAD computes them."""

import pytest

from tunewright.job.measure.squad import exact_match, f1


@pytest.mark.parametrize(
    ("answer", "truths", "exact", "overlap"),
    [
        ("the Eiffel Tower", ["Eiffel tower."], 1, 1),
        ("Eiffel Tower in Paris", ["the Eiffel Tower", "tower"], 0, 2 * 2 / 6),
        ("", [""], 1, 1),
        ("something", [""], 0, 0),
        ("", ["something"], 0, 0),
        ("x x y", ["x y y"], 0, 2 * 2 / 6),
        ("北京大学", ["北京"], 0, 2 * 2 / 6),
        ("1998年,北京", ["1998年北京"], 1, 1),
    ],
)
def test_an_answer_is_compared_with_the_best_truth(answer, truths, exact, overlap):
    assert exact_match(answer, truths) == exact
    assert f1(answer, truths) == pytest.approx(overlap)
