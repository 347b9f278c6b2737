"""How unsure an answer is, on examples worked out by hand."""

import numpy as np
import pytest

from tunewright.job.commands.label.doubt import disagreement, entropy, margin


def logits(*shares):
    return np.log(np.asarray(shares, np.float32))


def odds(*shares):
    shares = np.asarray(shares, np.float32)
    return np.log(shares / (1 - shares))


def test_one_label_is_unsure_where_two_are_near_each_other():
    assert margin(logits(0.5, 0.3, 0.2), "single_label") == pytest.approx(0.8)
    assert margin(logits(0.45, 0.45, 0.1), "single_label") == pytest.approx(1)


def test_entropy_is_a_share_of_the_most_there_can_be():
    assert entropy(logits(0.25, 0.25, 0.25, 0.25), "single_label") == pytest.approx(1)
    # 0.5 ln 2 + 2 * 0.25 ln 4 = 1.0397 nats of ln 3.
    assert entropy(logits(0.5, 0.25, 0.25), "single_label") == pytest.approx(1.0397 / np.log(3), abs=1e-4)


def test_of_several_labels_the_nearest_to_even_odds_counts():
    assert margin(odds(0.9, 0.4), "multi_label") == pytest.approx(0.8)
    # 0.4690 and 1 bit.
    assert entropy(odds(0.9, 0.5), "multi_label") == pytest.approx((0.4690 + 1) / 2, abs=1e-4)


def test_a_sentence_is_as_unsure_as_its_tokens_on_the_mean():
    tokens = np.stack([logits(0.5, 0.5), logits(0.9, 0.1)])
    assert margin(tokens, "entities") == pytest.approx((1 + 0.2) / 2)
    assert margin(np.zeros((0, 2), np.float32), "entities") == 0.0


def test_two_versions_disagree_by_what_they_answer():
    sure, other = logits(1 - 1e-9, 1e-9), logits(1e-9, 1 - 1e-9)
    assert disagreement(sure, other, "single_label") == pytest.approx(1, abs=1e-4)
    assert disagreement(sure, sure, "single_label") == pytest.approx(0, abs=1e-9)
    assert disagreement(odds(0.7, 0.2), odds(0.7, 0.2), "multi_label") == pytest.approx(0, abs=1e-9)
