"""Rows that stand for all."""

import numpy as np

from tunewright.job.commands.label.spread import middles, vectors_of_words


def test_each_cluster_has_its_middle_row_the_largest_first():
    draw = np.random.default_rng(0)
    centres = np.eye(3, 8, dtype=np.float32) * 10
    groups = [40, 25, 10]
    rows = np.concatenate(
        [centre + draw.normal(0, 0.1, (size, 8)) for centre, size in zip(centres, groups, strict=True)]
    )
    found = middles(rows.astype(np.float32), 3, seed=1)
    assert [int(row >= 40) + int(row >= 65) for row in found] == [0, 1, 2]


def test_no_row_is_chosen_twice():
    same = np.ones((20, 4), np.float32)
    assert len(set(middles(same, 7, seed=1))) == 7
    assert middles(same, 20, seed=1) == list(range(20))


def test_texts_are_told_apart_by_their_words():
    vectors = vectors_of_words(["a red lamp", "a red lamp", "the blue sea", "a sea so blue"])
    near = vectors @ vectors.T
    assert near[0, 1] > 0.99 > near[2, 3] > near[0, 2]
    assert vectors_of_words(["one", "one"]).shape == (2, 1)
