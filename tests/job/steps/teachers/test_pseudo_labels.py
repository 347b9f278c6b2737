"""What a model is sure of in unlabelled rows is learned too, and kept where validation is no worse."""

import json
import shutil
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.remedies import PseudoLabelSettings
from tunewright.job.steps.contradictions import contradictions
from tunewright.job.steps.run.resume import open_checkpoints
from tunewright.job.steps.teach import teach
from tunewright.job.steps.teachers.pseudo_labels import self_taught, sure


@pytest.fixture(scope="module")
def job(make_settings, write_rows, reviews, tmp_path_factory):
    """job(**pseudo_labels): few labelled rows, and many without a label."""
    path = tmp_path_factory.mktemp("rows") / "unlabelled.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text, _ in reviews[100:500]))
    plain = make_settings("single")

    def make(**asked):
        data = plain.data.model_dump(exclude_unset=True)
        return make_settings(
            "single",
            data=data | {"train": str(write_rows("single", 0, 80)), "unlabelled": str(path)},
            train={"epochs": 2, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32", "pseudo_labels": asked},
            export={"variants": ["fp32"], "explained_rows": 0},
        )

    return make


@pytest.fixture
def planned(job, registry, tmp_path):
    """planned(**pseudo_labels): the plan of the job, and its sides."""
    return lambda **asked: prepare_all(job(**asked), registry, tmp_path / "work")


def test_labelled_rows_and_those_that_are_sure_teach_the_next_model(planned):
    plan, sides = planned(floor=0.6)
    asked = []

    def recorded(*given):
        asked.append(given)
        return teach(given[0].with_train(pseudo_labels=None), *given[1:])

    trained = self_taught(plan, sides, recorded).trained
    (first, rows, _), (more, longer, _) = asked
    (told,) = trained.pseudo_labels
    assert first is plan
    added = sum(told["added"].values())
    assert len(longer[0]) == len(more.prepared.train) == len(rows[0]) + added > len(rows[0])
    assert longer[1] is sides[1]
    train = more.prepared.train
    assert train.targets[: len(rows[0])].tolist() == plan.prepared.train.targets.tolist()
    labels = np.array(plan.prepared.labels)[train.targets[len(rows[0]) :]].tolist()
    assert told["added"] == {label: labels.count(label) for label in told["added"]}
    for part in (plan.prepared.validation, plan.prepared.test):
        assert not np.isin(part.keys, train.keys[len(rows[0]) :]).any()
    assert told["kept"] == (told["after"] >= told["before"])
    assert trained.figures["accuracy"] == max(told["before"], told["after"])


@pytest.mark.slow
def test_rounds_go_on_until_validation_gets_worse(planned):
    plan, sides = planned(floor=0.6, rounds=3)
    trained = teach(plan, sides).trained
    rounds = trained.pseudo_labels
    assert [one["round"] for one in rounds] == list(range(1, len(rounds) + 1))
    assert all(one["kept"] for one in rounds[:-1])
    assert len(rounds) == 3 or not rounds[-1]["kept"]
    assert all(one["after"] == after["before"] for one, after in pairwise(rounds))


def test_nothing_is_added_where_nothing_is_sure(planned, capsys):
    plan, sides = planned(floor=0.999)
    assert teach(plan, sides).trained.pseudo_labels == []
    assert "none is sure by 0.999: none is added" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_was_stopped_between_the_two_goes_on_exactly(planned, tmp_path):
    plan, sides = planned(floor=0.6)
    folder = tmp_path / "checkpoints"
    whole = teach(plan, sides, open_checkpoints(plan, folder))
    shutil.rmtree(folder / "round-1")
    again = teach(plan, sides, open_checkpoints(plan, folder))
    assert again.trained.pseudo_labels == whole.trained.pseudo_labels
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert one.equal(other)


def prepared(problem, targets):
    return SimpleNamespace(problem=problem, labels=["a", "b"], train=SimpleNamespace(targets=np.array(targets)))


def logits_of(*shares):
    """Logits of these scores of the first of two labels."""
    return np.array([[np.log(share / (1 - share)), 0] for share in shares], np.float32)


def test_what_a_model_is_sure_of_is_added():
    found = sure(logits_of(0.95, 0.6, 0.05, 0.91), prepared("single_label", [0, 0, 1, 1]), PseudoLabelSettings())
    assert found.rows.tolist() == [0, 2, 3]
    assert found.labels == [["a"], ["b"], ["a"]]
    assert found.counted() == {"a": 2, "b": 1}


def test_of_each_label_the_surest_are_added():
    logits = logits_of(0.95, 0.99, 0.97, 0.05, 0.01)
    found = sure(logits, prepared("single_label", [0, 0, 1]), PseudoLabelSettings(share=1))
    assert found.rows.tolist() == [1, 2, 4]
    assert len(sure(logits, prepared("single_label", [0, 0, 1]), PseudoLabelSettings(share=0.5)).rows) == 1


def test_of_several_labels_each_is_sure_to_be_there_or_not():
    few = SimpleNamespace(problem="multi_label", labels=["a", "b"], train=range(9))
    found = sure(np.array([[5, -5], [5, 0], [-5, -5]], np.float32), few, PseudoLabelSettings())
    assert found.rows.tolist() == [0, 2]
    assert found.labels == [["a"], []]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": {"train": "t.csv"}}, "train.pseudo_labels needs rows to label: give data.unlabelled"),
        (
            {"data": {"train": "t.csv", "unlabelled": "u.csv", "validation_fraction": 0}},
            "train.pseudo_labels needs validation rows: give data.validation or a data.validation_fraction over 0",
        ),
        (
            {"train": {"distill": {"teacher": "x"}}},
            "train.pseudo_labels cannot stand beside train.distill, whose teacher gives the labels; remove one",
        ),
        (
            {"train": {"minutes": 1}},
            "train.minutes is the time of one training, and train.pseudo_labels has several; remove one of the two",
        ),
    ],
)
def test_what_pseudo_labels_cannot_be_beside_is_refused(make_settings, changes, sentence):
    train = {"pseudo_labels": {}} | changes.get("train", {})
    data = changes.get("data", {"train": "t.csv", "unlabelled": "u.csv"})
    assert sentence in contradictions(make_settings("single", data=data, train=train))


@pytest.mark.slow
def test_the_report_says_what_was_added_and_what_it_bought(job, registry):
    released = run(job(floor=0.6), registry).release
    (told,) = json.loads((released.folder / "report" / "metrics.json").read_text())["pseudo_labels"]
    card = (released.folder / "report" / "README.md").read_text()
    assert f"accuracy on validation {told['before']:.4f} -> {told['after']:.4f}; the model with" in card
