"""A student learns what a registered version answers, beside labels or in their place."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from tunewright.job.kinds.plan import Teaching
from tunewright.job.measure.evaluation import gathered
from tunewright.job.recipe import prepare_all, run
from tunewright.job.steps.teach import teach
from tunewright.job.steps.teachers.distill import distilled, divergence, labels_of
from tunewright.job.train.objective import scored


@pytest.fixture(scope="module")
def student(make_settings, reviews, tmp_path_factory):
    """student(**train): a job whose training labels are drawn by lot; its validation and test rows are right."""
    folder = tmp_path_factory.mktemp("student")
    lot = random.Random(1)
    rows = {
        "train": [{"text": text, "label": lot.choice(["with", "without"])} for text, _ in reviews[:240]],
        "unlabelled": [{"text": text} for text, _ in reviews[200:460]],
    }
    for side, some in rows.items():
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    plain = make_settings("single")

    def make(data=None, **train):
        sides = {side: getattr(plain.data, side) for side in ("validation", "test")}
        return make_settings(
            "single",
            model_name="student",
            data={"train": str(folder / "train.jsonl"), **sides, **(data or {})},
            train={"epochs": 8, "learning_rate": 5e-3, "batch_size": 16, "precision": "fp32", **train},
            export={"variants": ["fp32"], "explained_rows": 0},
        )

    make.unlabelled = {"unlabelled": str(folder / "unlabelled.jsonl")}
    return make


def said(capsys, event):
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [one["message"] for one in events if one["event"] == event and "message" in one]


def apart(theirs, plan, sides):
    """How far what a model of a plan answers to its training rows is from what the teacher does."""
    model, objective = teach(plan, sides).model, plan.prepared.task.objective(plan)
    logits, _ = gathered(scored(model, sides[0], objective))
    return float(divergence("single_label", 1.0, 1.0)(torch.from_numpy(logits), theirs))


def test_a_student_learns_what_its_teacher_answers(made, student, tmp_path, capsys):
    registry, settings = made("single").registry, student(distill={"teacher": "tiny@production", "weight": 1})
    plan, sides = prepare_all(settings, registry, tmp_path / "work")
    theirs = torch.from_numpy(plan.teaching.logits)
    plans = plan, replace(plan, settings=student(), teaching=None)
    taught, alone = (apart(theirs, one, sides) for one in plans)
    assert taught < alone / 2, (taught, alone)
    assert said(capsys, "teacher")[-1] == "tiny:1 has answered 240 rows"
    prepare_all(settings, registry, tmp_path / "again")
    assert said(capsys, "teacher")[-1] == "what tiny:1 answers to the 240 rows is known"


def test_unlabelled_rows_are_learned_from_as_the_teacher_answers_them(made, student, tmp_path, capsys):
    settings = student(student.unlabelled, distill={"teacher": "tiny"})
    plan, sides = prepare_all(settings, made("single").registry, tmp_path / "work")
    teaching, train = plan.teaching, plan.prepared.train
    assert teaching.labelled == 240
    assert len(sides[0]) == len(train) == len(teaching.logits) > 260
    assert train.targets[240:].tolist() == teaching.logits[240:].argmax(-1).tolist()
    # The texts that are measured on, and those that are labelled, are not among them.
    for part in (plan.prepared.validation, plan.prepared.test):
        assert not np.isin(part.keys, train.keys[240:]).any()
    (told,) = [text for text in said(capsys, "data") if text.startswith("unlabelled: ")]
    assert told == (
        f"unlabelled: {len(train) - 240:,} rows, {260 - len(train) + 240:,} left out that stand on another side or "
        "repeat another one"
    )


@pytest.fixture(scope="module")
def planned(made, student, tmp_path_factory):
    """The plan of a student, and its sides."""
    settings = student(distill={"teacher": "tiny", "weight": 0.25, "temperature": 3})
    return prepare_all(settings, made("single").registry, tmp_path_factory.mktemp("work"))


def loss_of(plan, sides, labelled):
    """Logits, the loss of a student of which so many rows are labelled, and the parts that it is made of."""
    plan = replace(plan, teaching=Teaching(plan.teaching.logits, labelled))
    rows, objective = distilled(plan, sides[0], plan.prepared.task.objective(plan))
    batch, logits = rows.batch([0, 1, 2, 3]), torch.randn(4, 2, generator=torch.Generator().manual_seed(1))
    theirs = torch.from_numpy(plan.teaching.logits[:4])
    soft = 9 * functional.kl_div((logits / 3).log_softmax(-1), (theirs / 3).softmax(-1), reduction="batchmean")
    hard = functional.cross_entropy(logits, sides[0].batch([0, 1, 2, 3])["targets"], reduction="none")
    return objective.loss(logits, batch["targets"]), soft, hard


def test_labels_count_for_what_the_teacher_leaves(planned):
    loss, soft, hard = loss_of(*planned, labelled=240)
    assert torch.allclose(loss, 0.25 * soft + 0.75 * hard.mean())


def test_rows_without_a_label_of_their_own_learn_from_the_teacher_alone(planned):
    loss, soft, hard = loss_of(*planned, labelled=2)
    assert torch.allclose(loss, 0.25 * soft + 0.75 * hard[:2].sum() / 4)


def test_a_temperature_shows_more_of_what_is_unlikely():
    taught, ours = torch.tensor([[8.0, 2.0, 0.0]]), torch.tensor([[8.0, 0.0, 2.0]])
    cold, warm = (divergence("single_label", temperature, 1.0)(ours, taught) for temperature in (1.0, 4.0))
    assert warm > 10 * cold
    assert divergence("single_label", 4.0, 1.0)(taught, taught) == 0


def test_several_labels_and_numbers_have_divergences_of_their_own():
    ours, taught = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]])
    cells = functional.binary_cross_entropy_with_logits(ours, taught.sigmoid())
    least = functional.binary_cross_entropy_with_logits(taught, taught.sigmoid())
    assert torch.allclose(divergence("multi_label", 1.0, 1.0)(ours, taught), cells - least)
    assert divergence("regression", 2.0, 0.5)(torch.tensor([[2.0]]), torch.tensor([[1.0]])) == 4


def test_what_logits_say_is_what_the_data_would(planned):
    prepared = planned[0].prepared
    assert labels_of(np.array([[0, 3], [2, 1]], np.float32), prepared) == [["without"], ["with"]]


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["multi", "regression"])
def test_a_student_of_any_kind_of_answer_is_smaller_and_says_who_taught_it(made, shape):
    teacher = made(shape)
    train = teacher.settings.train.model_dump(exclude_unset=True)
    train |= {"distill": {"teacher": "tiny:1", "weight": 1}, "keep_layers": 1}
    settings = teacher.settings.model_dump(exclude_unset=True) | {"train": train, "run_id": "student"}
    released = run(type(teacher.settings)(**settings), teacher.registry).release
    lineage = json.loads((released.folder / "lineage.json").read_text())
    assert lineage["data"]["teacher"]["version"] == "tiny:1"
    assert released.sizes["fp32"] < teacher.outcome.release.sizes["fp32"]
    # Of its own labels it has read none, and of its teacher's two layers it has one.
    head = released.headline
    assert released.evaluations["fp32"].metrics[head] > teacher.outcome.release.evaluations["fp32"].metrics[head] - 0.3
