import numpy as np
import pytest

from tunewright.job.data.doctor.label_noise import out_of_fold, suspects

pytest.importorskip("cleanlab")
WORDS = ("river stone bridge water", "market paper price trade", "music engine winter glass")


def rows(*, apart, told=0.9):
    """300 rows of three labels: vectors `apart` from their middle, words that tell the label in `told` of them."""
    random = np.random.default_rng(0)
    truths = np.repeat(np.arange(3), 100)
    vectors = (np.eye(3, 8)[truths] + random.normal(0, apart, (300, 8))).astype(np.float32)
    says = np.where(random.random(300) < told, truths, random.integers(0, 3, 300))
    return vectors, [" ".join(random.choice(WORDS[one].split(), 6)) for one in says], truths


def test_what_many_get_wrong_alike_is_found_where_labels_are_groups():
    vectors, texts, truths = rows(apart=0.1, told=1.0)
    labels = truths.copy()
    labels[100:140] = 0
    found = suspects(vectors, texts, labels)
    assert set(found) == set(range(100, 140))


def test_clean_labels_are_hardly_accused():
    vectors, texts, truths = rows(apart=0.1)
    assert len(suspects(vectors, texts, truths)) == 0


def test_rows_of_which_an_encoder_knows_little_are_hardly_accused():
    vectors, texts, truths = rows(apart=1.0, told=0.7)
    assert len(suspects(vectors, texts, truths)) < 0.05 * len(truths)


def test_a_label_of_few_rows_is_never_accused_and_few_rows_say_nothing():
    vectors, texts, truths = rows(apart=0.1, told=1.0)
    labels = truths * 5
    labels[[0, 150, 299]] = 99
    assert not set(suspects(vectors, texts, labels)) & {0, 150, 299}
    assert len(suspects(vectors[:60], texts[:60], truths[:60])) == 0


def test_a_row_is_told_by_a_head_that_did_not_learn_from_it():
    vectors, _, truths = rows(apart=0.1)
    labels = truths.copy()
    labels[7] = 2
    shares = out_of_fold(vectors, labels)
    assert shares.shape == (300, 3)
    assert shares[7].argmax() == 0
