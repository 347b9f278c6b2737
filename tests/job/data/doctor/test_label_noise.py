import numpy as np
import pytest

from tunewright.job.data.doctor.label_noise import can_be_noise, mislabelled, out_of_fold, outweighed, suspects

needs_cleanlab = pytest.mark.skipif(not can_be_noise(), reason="needs cleanlab, which the extra doctor brings")
WORDS = ("river stone bridge water", "market paper price trade", "music engine winter glass")


def rows(*, apart, told=0.9):
    """300 rows of three labels: vectors `apart` from their middle, words that tell the label in `told` of them."""
    random = np.random.default_rng(0)
    truths = np.repeat(np.arange(3), 100)
    vectors = (np.eye(3, 8)[truths] + random.normal(0, apart, (300, 8))).astype(np.float32)
    says = np.where(random.random(300) < told, truths, random.integers(0, 3, 300))
    return vectors, [" ".join(random.choice(WORDS[one].split(), 6)) for one in says], truths


def crowded():
    """Rows of which the crowd has taken 40 of the second label for the first."""
    vectors, texts, truths = rows(apart=0.1, told=1.0)
    labels = truths.copy()
    labels[100:140] = 0
    return vectors, texts, labels


@needs_cleanlab
def test_what_many_get_wrong_alike_is_found_where_labels_are_groups():
    assert set(suspects(*crowded())) == set(range(100, 140))


@needs_cleanlab
def test_a_script_without_spaces_has_words():
    vectors, texts, labels = crowded()
    letters = {word: chr(0x4E00 + at) for at, word in enumerate(" ".join(WORDS).split())}
    written = ["".join(letters[word] for word in text.split()) for text in texts]
    assert set(suspects(vectors, written, labels)) == set(range(100, 140))


@needs_cleanlab
def test_where_labels_are_no_groups_both_heads_have_to_accuse():
    # Each label is two groups on two sides of the middle, so its centre says nothing; the heads see five dimensions.
    random = np.random.default_rng(0)
    truths, half = np.repeat(np.arange(2), 150), np.tile([1.0, -1.0], 150)
    corners = np.stack([half, half * np.where(truths, 1, -1), np.where(truths, 1, -1)], axis=1)
    vectors = (corners * [2, 2, 0.5] + random.normal(0, 0.1, (300, 3))).astype(np.float32)
    texts = [" ".join(random.choice(WORDS[one].split(), 6)) for one in truths]
    labels = truths.copy()
    labels[[3, 40, 200]] = 1 - labels[[3, 40, 200]]
    assert set(suspects(vectors, texts, labels)) == {3, 40, 200}
    # Words that agree with the wrong labels leave nobody accused.
    agreeing = [" ".join(random.choice(WORDS[one].split(), 6)) for one in labels]
    assert len(suspects(vectors, agreeing, labels)) == 0


def test_a_label_is_outweighed_by_one_that_is_twice_as_likely():
    shares = np.array([[0.25, 0.5, 0.25], [0.3, 0.5, 0.2], [0.25, 0.25, 0.5], [0.7, 0.2, 0.1]])
    assert outweighed(np.array([0, 0, 0, 0]), shares).tolist() == [True, False, True, False]


@needs_cleanlab
def test_clean_labels_are_hardly_accused():
    vectors, texts, truths = rows(apart=0.1)
    assert len(suspects(vectors, texts, truths)) == 0


@needs_cleanlab
def test_rows_of_which_an_encoder_knows_little_are_hardly_accused():
    vectors, texts, truths = rows(apart=1.0, told=0.7)
    assert len(suspects(vectors, texts, truths)) < 0.05 * len(truths)


@needs_cleanlab
def test_a_label_of_fewer_rows_than_folds_is_never_accused():
    vectors, texts, truths = rows(apart=0.1, told=1.0)
    labels = truths * 5
    labels[[0, 150, 299]] = 99
    assert not set(suspects(vectors, texts, labels)) & {0, 150, 299}


def test_few_rows_and_a_single_label_say_nothing():
    vectors, texts, truths = rows(apart=0.1, told=1.0)
    assert len(suspects(vectors[::5], texts[::5], truths[::5])) == 0
    labels = np.zeros(300, dtype=np.int64)
    labels[:4] = 1
    assert len(suspects(vectors, texts, labels)) == 0


@needs_cleanlab
def test_a_finding_tells_the_likeliest_rows_by_where_they_stand(side):
    vectors, texts, labels = crowded()
    read = side([(text, "a") for text in texts])
    (found,) = mislabelled(read, np.arange(300), vectors, labels)
    assert found.text == "40 of the 300 train rows looked at likely have a wrong label"
    assert (found.kind, found.severity, found.side, found.rows) == ("label_noise", "serious", "train", 40)
    assert found.share == pytest.approx(40 / 300)
    assert "the likeliest first" in found.advice
    assert [one.line - 2 for one in found.examples] == suspects(vectors, texts, labels)[:5].tolist()


@needs_cleanlab
def test_rows_that_were_looked_at_are_told_by_their_own_numbers(side):
    vectors, texts, truths = rows(apart=0.1, told=1.0)
    labels = truths.copy()
    labels[100:110] = 0
    read = side([(text, "a") for text in texts])
    some = np.arange(0, 300, 2)
    found = list(mislabelled(read, some, vectors[some], labels[some]))
    assert [(one.severity, one.rows, one.share) for one in found] == [("warning", 5, 5 / 150)]
    assert {one.line - 2 for one in found[0].examples} == {100, 102, 104, 106, 108}
    assert list(mislabelled(read, some, vectors[some], truths[some])) == []


def test_a_row_is_told_by_a_head_that_did_not_learn_from_it():
    vectors, _, truths = rows(apart=0.1)
    labels = truths.copy()
    labels[7] = 2
    shares = out_of_fold(vectors, labels)
    assert shares.shape == (300, 3)
    assert shares[7].argmax() == 0
