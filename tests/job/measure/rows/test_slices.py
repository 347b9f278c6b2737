import numpy as np

from tunewright.job.measure.rows.slices import by_length, sliced


def test_slices_come_worst_first_and_are_held_against_all_other_rows():
    right = np.array([1] * 95 + [0] * 5 + [1] * 20 + [0] * 20, dtype=float)
    names = ["many"] * 100 + ["hard"] * 40
    worst, other = sliced(right, {"kind": names})
    assert (worst.by, worst.name, worst.rows, worst.figure.value, worst.is_worse) == ("kind", "hard", 40, 0.5, True)
    assert (other.name, other.rows, other.figure.value, other.is_worse) == ("many", 100, 0.95, False)


def test_few_rows_all_rows_and_rows_of_no_slice_are_none():
    right = np.ones(30)
    assert sliced(right, {"a": ["x"] * 9 + [""] * 21, "b": ["all"] * 30}) == []


def test_by_chance_alone_no_slice_is_called_worse_more_often_than_it_may():
    random, called = np.random.default_rng(1), 0
    for _ in range(100):
        right = (random.uniform(size=400) < 0.8).astype(float)
        groups = {"by": [str(one) for one in random.integers(0, 20, 400)]}
        called += any(one.is_worse for one in sliced(right, groups))
    assert called <= 8


def test_of_numbers_the_mean_is_told():
    reached = np.concatenate([np.full(20, -1.0), np.full(20, -3.0)]) + np.tile([0.1, -0.1], 20)
    worst, _ = sliced(reached, {"by": ["near"] * 20 + ["far"] * 20})
    assert (worst.name, worst.is_worse) == ("far", True)
    assert worst.figure.value == -3.0


def test_lengths_are_cut_into_parts_of_about_equal_size():
    assert by_length(np.arange(1, 11), "words", parts=2) == ["1 to 5 words"] * 5 + ["6 to 10 words"] * 5
    assert by_length(np.array([3, 3, 3]), "words") == ["3 words"] * 3
    assert by_length(np.array([1, 1, 1, 1, 9]), "words") == ["1 words"] * 4 + ["2 to 9 words"]
