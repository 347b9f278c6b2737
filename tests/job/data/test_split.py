"""Missing splits: deterministic, stratified, equal texts on one side."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunewright.job.data.split import split

KEYS = st.lists(st.integers(0, 60), min_size=1, max_size=200)
SHARES = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.45])


def labelled(keys):
    """One label a text, three labels in all."""
    return [[f"label {key % 3}"] for key in keys]


def cut(keys, labels=None, *, validation=0.1, test=0.1, seed=1):
    parts = split(
        np.array(keys, dtype=np.uint64), labels or labelled(keys), validation=validation, test=test, seed=seed
    )
    return parts.train.tolist(), parts.validation.tolist(), parts.test.tolist()


@given(keys=KEYS, validation=SHARES, test=SHARES, seed=st.integers(0, 2**32 - 1))
def test_every_row_is_on_exactly_one_side(keys, validation, test, seed):
    sides = cut(keys, validation=validation, test=test, seed=seed)
    assert sorted(row for side in sides for row in side) == list(range(len(keys)))


@given(keys=KEYS, validation=SHARES, test=SHARES)
def test_equal_texts_are_on_one_side_whatever_their_labels(keys, validation, test):
    labels = [[f"label {row % 4}"] for row in range(len(keys))]
    sides = [{keys[row] for row in side} for side in cut(keys, labels, validation=validation, test=test)]
    assert sum(len(side) for side in sides) == len(set(keys))


@given(keys=KEYS, data=st.data())
def test_the_order_of_the_rows_does_not_matter(keys, data):
    order = data.draw(st.permutations(range(len(keys))))
    before = [{keys[row] for row in side} for side in cut(keys)]
    after = [{keys[order[row]] for row in side} for side in cut([keys[row] for row in order])]
    assert before == after


@given(keys=KEYS, validation=SHARES, test=SHARES)
def test_every_label_keeps_a_training_row(keys, validation, test):
    labels = labelled(keys)
    train, _, _ = cut(keys, labels, validation=validation, test=test)
    assert {labels[row][0] for row in train} == {label for (label,) in labels}


@given(keys=KEYS, validation=SHARES, test=SHARES)
def test_every_label_that_has_two_texts_keeps_two_for_training(keys, validation, test):
    labels = labelled(keys)
    train, _, _ = cut(keys, labels, validation=validation, test=test)
    texts, kept = ({(labels[row][0], keys[row]) for row in rows} for rows in (range(len(keys)), train))
    of_all, of_kept = Counter(label for label, _ in texts), Counter(label for label, _ in kept)
    assert all(of_kept[label] >= min(count, 2) for label, count in of_all.items())


def test_labels_are_kept_in_proportion():
    keys = list(range(10_000))
    labels = [["rare" if key % 20 == 0 else "common"] for key in keys]
    for side, size in zip(cut(keys, labels), (8000, 1000, 1000), strict=True):
        counts = Counter(labels[row][0] for row in side)
        assert counts == {"rare": size // 20, "common": size - size // 20}


def test_the_rarest_of_several_labels_decides():
    keys = list(range(1000))
    labels = [["common", "rare"] if key % 50 == 0 else ["common"] for key in keys]
    assert [sum("rare" in labels[row] for row in side) for side in cut(keys, labels)] == [16, 2, 2]


def test_labels_of_four_rows_reach_every_side():
    keys = list(range(120))
    labels = [[f"label {key % 30}"] for key in keys]
    for side in cut(keys, labels):
        assert {labels[row][0] for row in side} == {f"label {number}" for number in range(30)}


def test_rows_without_labels_are_divided_too():
    assert [len(side) for side in cut(range(1000), [[]] * 1000)] == [800, 100, 100]


def test_a_side_that_is_given_takes_nothing():
    train, validation, test = cut(range(100), [[]] * 100, validation=0.0, test=0.2)
    assert (len(train), validation, len(test)) == (80, [], 20)


def test_another_seed_makes_another_split():
    assert cut(range(1000), [[]] * 1000, seed=1) != cut(range(1000), [[]] * 1000, seed=2)


def test_a_split_is_the_same_on_every_machine_and_in_every_release():
    _, validation, test = cut([key * 2**55 + key for key in range(100)], [[]] * 100, seed=7)
    assert (validation, test) == FROZEN


FROZEN = (
    [17, 18, 47, 55, 70, 71, 76, 86, 91, 96],
    [3, 13, 23, 24, 26, 38, 41, 69, 73, 97],
)
