"""Tests of two versions on the same rows, against values that scipy gives and against chance."""

import random

import pytest
from scipy.stats import binomtest, spearmanr

from tunewright.registry.gates.comparison import compare
from tunewright.registry.gates.outcomes import Head, Outcomes, Row
from tunewright.registry.gates.paired import mcnemar, mcnemar_two_sided, of_means, of_shares, of_spearman, spearman


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (0, 1), (3, 12), (12, 3), (59, 86), (1000, 1100)])
def test_mcnemar_is_the_exact_test_of_a_coin(better, worse):
    rows = better + worse
    one_sided = binomtest(worse, rows, alternative="greater").pvalue if rows else 1.0
    two_sided = binomtest(worse, rows).pvalue if rows else 1.0
    assert mcnemar(better, worse) == pytest.approx(one_sided, rel=1e-9)
    assert mcnemar_two_sided(better, worse) == pytest.approx(two_sided, rel=1e-9)


def test_shares_that_get_worse_by_chance_alone_are_called_worse_as_often_as_alpha_says():
    source, missed, covered = random.Random(1), 0, 0
    for _ in range(2000):
        drawn = source.choices(("better", "worse", "same"), (0.06, 0.06, 0.88), k=200)
        found = of_shares(drawn.count("better"), drawn.count("worse"), 200, 0.05)
        missed += found.worse < 0.05
        covered += found.low <= 0
    # The exact test is careful: at most 5 %, give or take what 2,000 tries allow.
    assert missed / 2000 < 0.065
    assert covered / 2000 > 0.94


def test_means_of_the_same_rows_are_told_apart_where_they_differ_and_not_where_they_do_not():
    source = random.Random(2)
    before = [source.random() for _ in range(400)]
    worse = [(one, one - 0.05 + source.gauss(0, 0.2)) for one in before]
    same = [(one, one + source.gauss(0, 0.2)) for one in before]
    found = of_means(worse, 0.05)
    assert found.worse < 0.01
    assert found.low < found.value < found.high < 0
    assert of_means(same, 0.05).worse > 0.05
    assert of_means([(one, one) for one in before], 0.05) == of_means([(one, one) for one in before], 0.05)
    assert of_means([(one, one) for one in before], 0.05).worse == 1


def test_a_bootstrap_calls_worse_by_chance_alone_about_as_often_as_alpha_says():
    source = random.Random(3)
    draws = ([(0.0, source.gauss(0, 1)) for _ in range(60)] for _ in range(120))
    missed = sum(of_means(pairs, 0.1).worse < 0.1 for pairs in draws)
    assert 3 <= missed <= 24


def test_ranks_are_compared_as_scipy_does():
    source = random.Random(4)
    true = [float(source.randint(0, 5)) for _ in range(100)]
    answers = [one + source.gauss(0, 2) // 1 for one in true]
    assert spearman(true, answers) == pytest.approx(spearmanr(true, answers).statistic)
    assert spearman([1, 1], [1, 2]) == 0
    rows = [(one, answer, source.gauss(0, 1)) for one, answer in zip(true, answers, strict=True)]
    found = of_spearman(rows, 0.05)
    assert found.worse < 0.01
    assert found.value == pytest.approx(
        spearmanr(true, [row[2] for row in rows]).statistic - spearmanr(true, answers).statistic
    )


def outcomes(metric, score, rows):
    head = Head(1, metric, score, ("fp32",), (), len(rows), 0)
    return Outcomes(head, [Row(f"{key:016x}", *told, ()) for key, *told in rows])


def test_rows_that_are_right_or_wrong_are_counted_and_others_are_drawn_anew():
    before = outcomes("accuracy", "right", [(1, "a", "a", 1.0), (2, "a", "b", 0.0), (3, "a", "a", 1.0)])
    after = outcomes("accuracy", "right", [(3, "a", "b", 0.0), (2, "a", "a", 1.0), (9, "a", "a", 1.0)])
    found = compare(before, after)
    assert found.says == "of 2 rows 1 are right now and 1 wrong now (one-sided p 0.75)"
    assert found.either == 1
    before = outcomes("f1", "F1", [(key, None, None, 0.5) for key in range(40)])
    after = outcomes("f1", "F1", [(key, None, None, 0.25) for key in range(40)])
    assert compare(before, after).says == "mean F1 -0.2500 on 40 rows (one-sided p 0.0005)"


def test_numbers_are_compared_by_the_figure_of_all_rows_together_and_unlike_figures_by_none():
    before = outcomes("spearman", None, [(key, float(key), float(key), None) for key in range(50)])
    after = outcomes("spearman", None, [(key, float(key), float(-key), None) for key in range(50)])
    assert compare(before, after).difference.value == pytest.approx(-2)
    assert compare(before, outcomes("rmse", None, [(1, 1.0, 1.0, None)])) is None
    assert compare(before, outcomes("accuracy", "right", [(1, "a", "a", 1.0)])) is None
