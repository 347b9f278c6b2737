"""Few labels: pairs, the contrastive loss, and the job that learns from both."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tunewright.job.batches.text import TextRows
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.few_shot import ContrastivePairs, contrastive_loss, draw_pairs
from tunewright.job.steps.prepare import prepare
from tunewright.job.steps.teach import teach
from tunewright.serving.predictor import open_predictor

TARGETS = np.array([2, 0, 1, 0, 2, 2, 0, 1, 2, 2, 2, 2])
TEXTS = ["This product is amazing!", "I hate the product!"]


@pytest.fixture
def messages(capsys):
    """What has been said so far, as (level, message)."""

    def read():
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [(event["level"], event.get("message")) for event in events]

    return read


def test_a_pair_is_two_rows_of_one_label():
    pairs = draw_pairs(TARGETS, per_row=50, seed=1)
    assert (TARGETS[pairs[:, 0]] == TARGETS[pairs[:, 1]]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert set(map(tuple, pairs)) == {
        (a, b) for a in range(12) for b in range(12) if a != b and TARGETS[a] == TARGETS[b]
    }


def test_every_label_has_as_many_pairs_and_every_row_its_turn():
    pairs = draw_pairs(TARGETS, per_row=3, seed=1)
    assert Counter(TARGETS[pairs[:, 0]].tolist()) == {0: 12, 1: 12, 2: 12}
    assert Counter(pairs[TARGETS[pairs[:, 0]] == 0, 0].tolist()) == {1: 4, 3: 4, 6: 4}
    assert set(pairs[:, 0].tolist()) == set(range(12))


def test_pairs_are_as_many_as_rows_and_not_as_their_square():
    targets = np.arange(100_000) % 2
    assert draw_pairs(targets, per_row=1, seed=1).shape == (100_000, 2)


def test_pairs_follow_the_seed():
    first, again, other = (draw_pairs(TARGETS, per_row=5, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_row_that_is_alone_is_paired_with_itself():
    pairs = draw_pairs(np.array([0, 1, 1, 1]), per_row=1, seed=1)
    assert pairs[pairs[:, 0] == 0].tolist() == [[0, 0], [0, 0]]


@pytest.fixture
def rows(make_split, encoder):
    """Three texts of unequal length."""
    texts = ["one", "one two three four five six", "one two"]
    return TextRows(make_split(texts, [1, 0, 1]), encoder, ["input_ids", "attention_mask"])


def test_a_batch_of_pairs_is_a_batch_of_their_texts(rows):
    pairs = ContrastivePairs(rows, np.array([[0, 2], [1, 1], [2, 0]]))
    batch = pairs.batch([2, 1])
    assert len(pairs) == 3
    assert rows.lengths.tolist() == [3, 8, 4]
    assert pairs.lengths.tolist() == [4, 8, 4]
    assert batch["targets"].tolist() == [1, 1, 0, 0]
    assert batch["input_ids"].equal(rows.batch([2, 0, 1, 1])["input_ids"])


def test_the_contrastive_loss_is_that_of_the_formula():
    vectors = torch.randn(6, 4, generator=torch.Generator().manual_seed(3)) * 5
    targets = torch.tensor([0, 1, 0, 1, 1, 0])
    unit = (vectors / vectors.norm(dim=1, keepdim=True)).double().numpy()
    terms = []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        shares = {j: np.exp(unit[i] @ unit[j] / 0.1) for j in others}
        kin = [j for j in others if targets[j] == targets[i]]
        terms.append(-np.mean([np.log(shares[j] / sum(shares.values())) for j in kin]))
    assert float(contrastive_loss(0.1)(vectors, targets)) == pytest.approx(np.mean(terms), rel=1e-5)


def test_the_contrastive_loss_draws_a_label_together_and_others_apart():
    vectors = torch.randn(4, 8, generator=torch.Generator().manual_seed(3)).requires_grad_()
    targets = torch.tensor([0, 1, 0, 1])
    optimizer = torch.optim.SGD([vectors], lr=1.0)
    for _ in range(50):
        optimizer.zero_grad()
        contrastive_loss(0.5)(vectors, targets).backward()
        optimizer.step()
    cosine = torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    assert cosine[0, 2] > 0.9
    assert cosine[1, 3] > 0.9
    assert cosine[0, 1] < 0


FEW = {"few_shot": {"temperature": 0.5}, "epochs": 10, "learning_rate": 1e-3, "batch_size": 16, "precision": "fp32"}


@pytest.fixture
def few_rows(write_rows):
    """The settings of data with 120 training rows, 200 test rows, and no validation rows."""
    return {
        "train": str(write_rows("single", 0, 120)),
        "test": str(write_rows("single", 200, 400)),
        "columns": {"text": "text", "label": "label"},
    }


def test_the_encoder_and_a_head_learn_without_spending_rows_on_validation(make_settings, few_rows, registry, tmp_path):
    plan, sides = prepare_all(make_settings(data=few_rows, train=FEW), registry, tmp_path / "work")
    assert plan.prepared.facts["rows"] == {"train": 120, "validation": 0, "test": 200}
    before = plan.prepared.task.graph.build(plan).state_dict()
    taught = teach(plan, sides)
    assert [set(epoch) for epoch in taught.trained.history] == [{"epoch", "loss"}] * 10
    assert taught.trained.best_epoch == 10
    name = "bert.encoder.layer.1.output.dense.weight"
    assert not torch.equal(before[name], taught.model.state_dict()[name])
    test = plan.prepared.test
    logits = np.stack(plan.prepared.task.inputs.torch_outputs(taught.model.eval(), plan, test.data.inputs()))
    assert np.mean(logits.argmax(-1) == test.targets[:]) > 0.85


@pytest.mark.slow
def test_a_few_shot_job_makes_an_ordinary_version_without_spending_rows_on_validation(
    make_settings, few_rows, registry, tiny_base
):
    released = run(make_settings(data=few_rows, train=FEW), registry).release
    assert released.evaluations["fp32"].metrics["accuracy"] > 0.85
    facts = json.loads((released.folder / "lineage.json").read_text())
    assert facts["data"]["rows"] == {"train": 120, "validation": 0, "test": 200}
    assert [set(epoch) for epoch in facts["training"]["history"]] == [{"epoch", "loss"}] * 10
    assert facts["training"]["best_epoch"] == 10
    before, after = load_file(tiny_base / "model.safetensors"), load_file(released.folder / "weights/model.safetensors")
    assert not torch.equal(
        before["encoder.layer.1.output.dense.weight"], after["bert.encoder.layer.1.output.dense.weight"]
    )
    predictor = open_predictor(released.folder, variant="fp32")
    answers = predictor.predict(TEXTS)
    predictor.close()
    assert [sorted(one["label"] for one in answer) for answer in answers] == [["with", "without"]] * 2
    assert len(released.model.golden) == 8
    card = (released.folder / "report/README.md").read_text()
    said = "logistic regression on the vectors of all training rows; the encoder was taught by pairs of texts: 10"
    assert said in card


@pytest.mark.slow
def test_pairs_of_texts_are_learned_from_few_rows_too(make_settings, write_rows, registry):
    data = {"train": str(write_rows("pair", 0, 120)), "test": str(write_rows("pair", 200, 300))}
    data["columns"] = {"text": "text", "text_pair": "text_pair", "label": "label"}
    released = run(make_settings("pair", data=data, train=FEW), registry).release
    assert released.model.pair
    assert released.evaluations["fp32"].metrics["accuracy"] > released.baseline["accuracy"]
    predictor = open_predictor(released.folder, variant="fp32")
    (answer,) = predictor.predict([tuple(TEXTS[:2])])
    predictor.close()
    assert sum(one["score"] for one in answer) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_a_frozen_encoder_stays_as_it_is_under_a_fitted_head(make_settings, few_rows, registry, tiny_base):
    train = {"few_shot": {}, "layers": "head"}
    released = run(make_settings(data=few_rows, train=train), registry).release
    before, after = load_file(tiny_base / "model.safetensors"), load_file(released.folder / "weights/model.safetensors")
    kept = {name.removeprefix("bert."): weight for name, weight in after.items() if name.startswith("bert.")}
    assert all(torch.equal(weight, before[name]) for name, weight in kept.items())
    assert after["classifier.weight"].abs().max() > 0.1
    assert json.loads((released.folder / "lineage.json").read_text())["training"]["history"] == []
    card = (released.folder / "report/README.md").read_text()
    assert "logistic regression on the vectors of all training rows; the encoder stayed as it was." in card


@pytest.mark.slow
def test_validation_rows_that_are_given_choose_the_epoch(make_settings, registry):
    settings = make_settings(train=FEW)
    released = run(settings, registry).release
    report = json.loads((released.folder / "report/metrics.json").read_text())["validation"]
    history = json.loads((released.folder / "lineage.json").read_text())["training"]["history"]
    figures = [epoch["accuracy"] for epoch in history]
    assert report["best_epoch"] == 1 + int(np.argmax(figures))
    assert report["accuracy"] == pytest.approx(max(figures))


@pytest.fixture
def advice(write, tmp_path, messages):
    """advice(8, few_shot={}) gives the warnings about a job with so many training rows of each of three labels."""

    def read(rows, **train):
        table = "text,label\n" + "".join(f"text {row},{row % 3}\n" for row in range(3 * rows))
        test = "text,label\n" + "".join(f"more {row},{row % 3}\n" for row in range(9))
        paths = {name: str(write(f"{name}.csv", text.encode())) for name, text in (("train", table), ("test", test))}
        settings = JobSettings(model_name="x", data=paths | {"validation_fraction": 0}, train=train)
        prepare(settings, tmp_path / "cache", tmp_path / "work")
        return [text for level, text in messages() if level == "warning" and "few_shot" in text]

    return read


def test_few_rows_are_told_of_few_shot_learning(advice):
    assert advice(8) == [
        "half of the labels have at most 8 training rows: with so few, train.few_shot learns more than plain "
        "fine-tuning"
    ]
    assert advice(100) == []
    assert advice(8, few_shot={}) == []


def test_many_rows_are_told_of_plain_fine_tuning(advice):
    assert advice(1000, few_shot={}) == [
        "half of the labels have 1000 training rows or more: with so many, plain fine-tuning is about as good; "
        "consider removing train.few_shot"
    ]


def test_few_labels_are_spent_on_validation_only_when_asked(write, tmp_path, messages):
    table = "text,label\n" + "".join(f"text {row},{row % 2}\n" for row in range(40))
    rows = {}
    for name, data, train in (
        ("few", {}, {"few_shot": {}}),
        ("asked", {"validation_fraction": 0.2}, {"few_shot": {}}),
        ("plain", {}, {}),
    ):
        settings = JobSettings(
            model_name="x", data={"train": str(write("train.csv", table.encode())), **data}, train=train
        )
        rows[name] = prepare(settings, tmp_path / "cache", tmp_path / name).facts["rows"]
    assert rows["few"] == {"train": 36, "validation": 0, "test": 4}
    assert rows["asked"] == {"train": 28, "validation": 8, "test": 4}
    assert rows["plain"] == {"train": 32, "validation": 4, "test": 4}
    unheld = "no rows are held out for validation: the last epoch is kept, training rows prove the export"
    assert [text for _, text in messages()].count(unheld) == 1


@pytest.mark.slow
def test_plain_fine_tuning_without_validation_rows_keeps_the_last_epoch(make_settings, few_rows, registry):
    train = {"epochs": 5, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32"}
    released = run(make_settings(data=few_rows | {"validation_fraction": 0}, train=train), registry).release
    training = json.loads((released.folder / "lineage.json").read_text())["training"]
    assert (training["best_epoch"], len(training["history"])) == (5, 5)


@pytest.mark.slow
def test_several_labels_without_validation_rows_keep_the_middle_as_threshold(make_settings, write_rows, registry):
    data = {
        "train": str(write_rows("multi", 0, 120)),
        "test": str(write_rows("multi", 200, 260)),
        "columns": {"text": "text", "labels": "labels"},
        "validation_fraction": 0,
    }
    released = run(make_settings("multi", data=data, train={"epochs": 1}), registry).release
    assert released.model.thresholds is None
