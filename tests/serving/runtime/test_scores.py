import numpy as np
import pytest

from tunewright.serving.runtime.scores import FEW, cross_entropy, listed, log_softmax, scores

LOGITS = np.array([[0.0, 1.0, -2.0], [1000.0, 1000.0, -1000.0]], np.float32)


def test_softmax_sums_to_one_and_overflows_nowhere():
    found = scores(LOGITS, "softmax")
    assert found.sum(axis=1) == pytest.approx([1, 1])
    assert found[1].tolist() == [0.5, 0.5, 0.0]


def test_sigmoid_overflows_nowhere():
    assert scores(LOGITS, "sigmoid")[1].tolist() == [1.0, 1.0, 0.0]
    assert scores(LOGITS, "sigmoid")[0] == pytest.approx(1 / (1 + np.exp(-LOGITS[0])))


def test_none_leaves_logits_as_they_are():
    assert scores(LOGITS, "none") is LOGITS


@pytest.mark.parametrize("labels", [1, 3, FEW, FEW + 1])
@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_scores_of_one_row_are_the_same_numbers_whether_labels_are_few_or_many(labels, function):
    logits = np.random.default_rng(labels).normal(scale=400, size=labels).astype(np.float32)
    found = listed(logits, function, 1.7)
    assert found == pytest.approx(scores(logits, function, 1.7).tolist(), abs=1e-6)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_log_softmax_is_the_logarithm_of_softmax_in_the_precision_of_the_logits(precision):
    before = LOGITS.astype(precision)
    found = log_softmax(before)
    assert found.dtype == precision
    assert np.exp(found) == pytest.approx(scores(LOGITS, "softmax"))
    assert found[1, 2] == pytest.approx(-2000 - np.log(2))
    assert (before == LOGITS).all()


def test_cross_entropy_is_that_of_the_tokens_that_came():
    assert cross_entropy(LOGITS, [1, 2]) == pytest.approx([-log_softmax(LOGITS)[0, 1], 2000 + np.log(2)])
    assert cross_entropy(LOGITS[:0], []).shape == (0,)
