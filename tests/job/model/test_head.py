"""The head in closed form: the same answers as the library that fitted it, in the layer of the model."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tunewright.job.batches.text import TextRows
from tunewright.job.model.build import build_classifier
from tunewright.job.model.head import apply_head, embed, fit_head, write_head
from tunewright.job.settings.train import TrainSettings
from tunewright.serving.runtime.scores import scores

RANDOM = np.random.default_rng(5)
VECTORS = RANDOM.normal(size=(90, 6)).astype(np.float32) * 40
NUMBERS = (VECTORS[:, 0] > 10).astype(np.int64) + (VECTORS[:, 1] > 0)


@pytest.mark.parametrize("labels", [2, 3])
def test_softmax_of_the_head_is_what_scikit_learn_answers(labels):
    targets = NUMBERS.clip(max=labels - 1)
    scale = np.sqrt((VECTORS**2).sum(1).mean())
    fitted = LogisticRegression(C=3.0, max_iter=1000).fit(VECTORS / scale, targets)
    outputs = apply_head(VECTORS, fit_head(VECTORS, targets, "single_label", c=3.0))
    assert outputs.shape == (90, labels)
    assert np.allclose(scores(outputs, "softmax"), fitted.predict_proba(VECTORS / scale), atol=1e-3)


def test_the_length_of_the_vectors_does_not_change_the_answers():
    small, large = (
        apply_head(VECTORS * size, fit_head(VECTORS * size, NUMBERS, "single_label")) for size in (0.01, 100)
    )
    assert np.allclose(small, large, atol=1e-2)


def test_each_of_several_labels_is_learned_and_one_without_a_choice_is_sure():
    targets = np.stack([VECTORS[:, 0] > 0, VECTORS[:, 1] > 20, np.ones(90), np.zeros(90)], axis=1).astype(np.float32)
    found = scores(apply_head(VECTORS, fit_head(VECTORS, targets, "multi_label", c=100)), "sigmoid") > 0.5
    assert (found == targets).mean(axis=0).min() > 0.95
    assert found[:, 2].all()
    assert not found[:, 3].any()


def test_numbers_are_answered_in_their_unit():
    targets = (VECTORS @ RANDOM.normal(size=6) + 500).astype(np.float32)
    outputs = apply_head(VECTORS, fit_head(VECTORS, targets, "regression", c=1e6))
    assert outputs.shape == (90, 1)
    assert np.allclose(outputs[:, 0], targets, atol=0.1)


def test_a_model_with_the_head_answers_what_the_head_answers(fetch, tiny_base, encoder, make_split):
    texts = ["one", "two three", "a much longer text of several words", "four"]
    rows = TextRows(make_split(texts, [0, 1, 2, 1]), encoder, ["input_ids", "attention_mask", "token_type_ids"])
    model = build_classifier(fetch(tiny_base), ["a", "b", "c"], TrainSettings(pooling="mean"))
    model.train()
    vectors = embed(model, rows)
    head = fit_head(vectors, np.array([0, 1, 2, 1]), "single_label")
    write_head(model, head)
    batch = rows.batch([3, 0, 2])
    batch.pop("targets")
    with torch.no_grad():
        logits = model(**batch)["logits"].numpy()
    assert np.allclose(logits, apply_head(vectors, head)[[3, 0, 2]], atol=1e-4)
