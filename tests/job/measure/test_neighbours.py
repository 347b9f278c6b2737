"""Training rows of a version: which ones, what is told of them, and what they say about answers."""

import json

import numpy as np
import pytest

from tunewright.job.measure.neighbours import choose_rows
from tunewright.serving.bundle.neighbours import open_neighbours
from tunewright.serving.predictor import open_predictor

PAIR = pytest.param("pair", marks=pytest.mark.slow)


def test_as_many_rows_of_each_label_are_chosen_as_there_are():
    keys, targets = np.arange(100, dtype=np.uint64)[::-1].copy(), [["rare"]] * 3 + [["often"]] * 97
    assert choose_rows(keys, targets, 10).tolist() == [0, 1, 2, *range(93, 100)]
    assert len(choose_rows(keys, targets, 1000)) == 100


def test_the_same_rows_are_chosen_whatever_their_order_and_equal_inputs_once():
    random = np.random.default_rng(3)
    keys = random.integers(0, 50, 200).astype(np.uint64)
    targets = [[str(key % 3)] for key in keys.tolist()]
    order = random.permutation(200)
    chosen, others = choose_rows(keys, targets, 20), choose_rows(keys[order], [targets[at] for at in order], 20)
    assert len(set(keys[chosen].tolist())) == 20
    assert set(keys[chosen].tolist()) == set(keys[order][others].tolist())


def test_rows_with_numbers_are_chosen_by_their_keys_alone():
    assert choose_rows(np.array([9, 5, 7], dtype=np.uint64), [1.0, 2.0, 3.0], 2).tolist() == [1, 2]


@pytest.mark.parametrize("shape", ["multi", PAIR, "regression"])
def test_a_version_carries_as_many_rows_as_asked(made, shape):
    folder = made(shape).pulled()
    kept = open_neighbours(folder)
    assert len(kept) == 40
    lengths = np.linalg.norm(np.asarray(kept.vectors_ND, dtype=np.float32), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=2e-3)
    row = kept.row(0)
    assert list(row) == ["row", "label", "text", *(["text_pair"] if shape == "pair" else [])]
    assert isinstance(row["label"], {"multi": list, "pair": str, "regression": float}[shape])
    figures = json.loads((folder / "report/metrics.json").read_text())["nearness"]
    assert (figures["rows"], figures["kept"], figures["compared"]) == (60, 40, 5)
    more = figures["nearest"] - figures["random"]
    is_better = more < 0 if shape == "regression" else more > 0
    assert is_better or shape == "regression"
    text = (folder / "report/README.md").read_text()
    assert "## Nearest training rows\n\nThe version carries 40 training rows, which whoever may ask the server" in text
    assert ("show them to nobody" in text) != is_better


@pytest.mark.parametrize("shape", [PAIR, "regression"])
def test_a_training_row_of_a_version_is_nearest_to_itself(made, shape):
    predictor = open_predictor(made(shape).pulled())
    row = predictor.neighbours.row(3)
    one = (row["text"], row["text_pair"]) if shape == "pair" else row["text"]
    (vector_D,) = predictor.vectors([one])
    assert predictor.neighbours.nearest(vector_D, 1)[0]["row"] == row["row"]
    predictor.close()


@pytest.mark.slow
def test_the_figures_are_those_that_are_counted_by_hand(made, plan_of):
    one = made("pair")
    folder = one.pulled()
    predictor, rows = open_predictor(folder), plan_of(one).prepared.test.data.inputs()
    kept = np.asarray(predictor.neighbours.vectors_ND, dtype=np.float64)
    same = 0
    for pair in rows:
        (vector_D,) = predictor.vectors([pair])
        nearest = sorted(range(40), key=lambda at: -kept[at] @ vector_D / np.linalg.norm(vector_D))[:5]
        labels = [predictor.neighbours.row(at)["label"] for at in nearest]
        same += max(labels, key=labels.count) == predictor.predict([pair])[0][0]["label"]
    predictor.close()
    figures = json.loads((folder / "report/metrics.json").read_text())["nearness"]
    assert figures["nearest"] == pytest.approx(same / len(rows))
