"""Weights of parts from a few sets of them."""

from itertools import permutations

import numpy as np
import pytest

from tunewright.serving.explain.shapley import choose_sets, fit_weights


def weights(value, parts, rows, seed=1):
    """What is fitted to a function of the parts that are shown."""
    sets = choose_sets(parts, rows, seed)
    values = np.array([[value(one)] for one in sets]).reshape(-1, 1)
    whole, empty = (np.array([value(np.full(parts, shown))]) for shown in (True, False))
    return fit_weights(sets, values, whole, empty)[:, 0]


def shapley(value, parts):
    """By the definition: what each part adds, over all orders."""
    added = np.zeros(parts)
    orders = list(permutations(range(parts)))
    for order in orders:
        shown = np.zeros(parts, dtype=bool)
        for part in order:
            before = value(shown)
            shown[part] = True
            added[part] += (value(shown) - before) / len(orders)
    return added


def both_or_third(shown):
    return 3.0 * (shown[0] and shown[1]) + 2.0 * shown[2] + 0.5


def test_all_sets_give_the_shapley_values():
    assert weights(both_or_third, 5, 30) == pytest.approx(shapley(both_or_third, 5), abs=1e-4)


def test_a_few_sets_give_the_weights_of_a_sum():
    truth = np.array([1.0, 2.0, 0.0, -1.0, 0.5, 0.0, 0.25, -3.0])
    assert weights(lambda shown: float(shown @ truth), 8, 30) == pytest.approx(truth, abs=1e-3)


@pytest.mark.parametrize("rows", [0, 1, 5, 16, 40])
@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_weights_add_up_to_what_the_whole_has_over_nothing(parts, rows):
    found = weights(lambda shown: float(shown.sum() ** 2), parts, rows)
    assert found.sum() == pytest.approx(parts**2)


@pytest.mark.parametrize(("parts", "rows"), [(1, 9), (2, 1), (4, 100), (6, 40), (7, 3), (30, 64), (200, 64)])
def test_sets_are_different_and_within_the_budget(parts, rows):
    sets = choose_sets(parts, rows, 1)
    assert len({one.tobytes() for one in sets}) == len(sets) <= rows
    assert all(0 < one.sum() < parts for one in sets)


def test_the_same_seed_gives_the_same_sets():
    assert (choose_sets(20, 64, 5) == choose_sets(20, 64, 5)).all()
    assert (choose_sets(20, 64, 5) != choose_sets(20, 64, 6)).any()
