"""A version that answers something else than a job teaches is no teacher of it: told before anything is learned."""

import json

import pytest

from tunewright.job.errors import SettingsError
from tunewright.job.program import main
from tunewright.job.steps.begin import get_ready
from tunewright.job.steps.contradictions import contradictions
from tunewright.job.steps.run.run_id import rows_of


@pytest.fixture
def refused(made, make_settings, tmp_path, write):
    """refused(rows, **changes): why the version of single texts cannot teach these rows."""

    def make(rows, teacher="tiny", **changes):
        path = write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
        data = {"train": str(path), "columns": {name: name for name in rows[0]}}
        settings = make_settings("single", data=data, train={"distill": {"teacher": teacher}}, **changes)
        with pytest.raises(SettingsError) as caught:
            get_ready(settings, made("single").registry, tmp_path / "work")
        return str(caught.value)

    return make


def rows_with(**more):
    return [{"text": f"text {number}", **{name: of(number) for name, of in more.items()}} for number in range(40)]


def test_a_teacher_of_another_task_is_refused(refused):
    assert refused(rows_with(score=lambda number: number), task="text-regression") == (
        "train.distill.teacher is 'tiny', a version of text-classification (single_label), and this job is "
        "text-regression (regression): name a version of the same"
    )


def test_a_teacher_of_other_labels_is_refused(refused):
    assert refused(rows_with(label=lambda number: ["with", "never"][number % 2])) == (
        "train.distill.teacher is 'tiny', which has other labels: without that the data lacks, and lacks never of the "
        "data"
    )


def test_a_teacher_of_single_texts_does_not_teach_pairs(refused):
    rows = rows_with(text_pair=str, label=lambda number: ["with", "without"][number % 2])
    assert refused(rows) == (
        "train.distill.teacher is 'tiny', which reads single texts, and the rows of this job are pairs: name a version "
        "that reads the same"
    )


def test_a_teacher_that_is_not_there_is_one_sentence_and_exit_code_2(
    write_rows, tiny_base, registry, monkeypatch, capsys
):
    monkeypatch.setenv("REGISTRY_URI", registry.uri)
    monkeypatch.setenv("REGISTRY_CACHE", str(registry.cache))
    words = ["--model_name", "x", "--base_model", str(tiny_base), "--data.train", str(write_rows("single", 0, 60))]
    assert main(["train", *words, "--train.distill.teacher", "nobody@best"]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "nobody" in sentence


def test_another_teacher_is_another_run():
    facts = {"rows": {"train": 3}}
    teachers = [{"teacher": {"version": "a:1", "digest": digest, "reference": ""}} for digest in ("x", "y")]
    assert len({json.dumps(rows_of(one)) for one in (facts, *(facts | teacher for teacher in teachers))}) == 3


NOT_SET = "it is for train.distill and train.pseudo_labels, and neither is set"
PAIRS = "train.few_shot teaches the encoder with pairs and fits the head by itself"


@pytest.mark.parametrize(
    ("data", "train", "sentence"),
    [
        ({"unlabelled": "u.csv"}, {}, f"data.unlabelled would have no effect: {NOT_SET}; remove it"),
        ({}, {"few_shot": {}}, f"train.distill would have no effect: {PAIRS}; remove it"),
        (
            {},
            {"minutes": 1},
            "train.minutes may leave out training rows, which train.distill has asked about; remove one of the two",
        ),
        (
            {"columns": {"score": "score"}},
            {"distill": {"teacher": "x", "temperature": 3}},
            "train.distill.temperature would have no effect: numbers are compared as they are; remove it",
        ),
    ],
)
def test_what_a_teacher_has_no_use_for_is_refused(make_settings, data, train, sentence):
    task = "text-regression" if "columns" in data else "text-classification"
    train = train if "unlabelled" in data else {"distill": {"teacher": "x"}} | train
    settings = make_settings("single", task=task, data={"train": "t.csv", **data}, train=train)
    assert sentence in contradictions(settings)
