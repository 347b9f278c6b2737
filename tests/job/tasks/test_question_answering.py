"""Extractive question answering: read, taught, measured and served."""

import json
from itertools import pairwise

import pytest
import torch
from pipelines import Reader
from torch.nn.functional import cross_entropy
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from tunewright.job.data.check import check
from tunewright.job.data.columns import read_roles
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.errors import DataError
from tunewright.job.kinds.options import AnswerOptions
from tunewright.job.recipe import prepare_all, run
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.teach import teach
from tunewright.job.tasks import TASKS
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import pull
from tunewright.serving.predictor import open_predictor

TASK = TASKS["question-answering"]


def row(question, context, *answers):
    return {
        "question": question,
        "context": context,
        "answers": {"text": list(answers), "answer_start": [context.index(answer) for answer in answers]},
    }


@pytest.fixture
def settings(reviews, tiny_base, tmp_path):
    """settings(...): a job over the example's reviews: which word stands after "the"? Some have none."""

    def make(**changes):
        rows = []
        for text, _ in reviews[:200]:
            words = text.split()
            after = [word for before, word in pairwise(words) if before.lower() == "the"]
            rows.append(row("what is it about?", text, *after[:1]))
        (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
        train = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32", "max_length": 32}
        common = {
            "task": "question-answering",
            "base_model": str(tiny_base),
            "model_name": "finder",
            "data": {"train": str(tmp_path / "train.jsonl")},
            "train": train | changes.pop("train", {}),
            "gate": {"max_drop": {"int8": 1}},
            "output": str(tmp_path / "runs"),
            "keep_bundle": True,
        }
        return JobSettings(**(common | changes))

    return make


@pytest.fixture
def read(tmp_path, capsys):
    """read(rows, options): what a file of these rows holds, and the warnings about it."""

    def make(*rows, options=None):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        data = DataSettings(train=str(path))
        file = SourceFile("rows.jsonl", path, "0" * 64, path.stat().st_size)
        found = check([file], TASK, read_roles(data, TASK.forms), data, tmp_path / "rows.arrow", options=options)
        said = [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()]
        return list(zip(found.data.inputs(), found.data.targets(), strict=True)), said

    return make


def test_the_forms_of_answers_are_one(read):
    context = "Ada lived in London."
    nested = {"text": ["London"], "answer_start": [13]}
    for answers in (nested, json.dumps(nested), [{"text": "London", "answer_start": 13}]):
        ((value, target),), _ = read({"question": "Where?", "context": context, "answers": answers})
        assert (value, target) == (("Where?", context), {"text": ["London"], "start": [13]})


def test_a_question_without_an_answer_is_one_too(read):
    ((_, target),), _ = read(row("Where?", "Nobody knows."))
    assert target == {"text": [], "start": []}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ("{", "line 1: value '{': column 'answers' is not JSON such as"),
        (7, 'line 1: value 7: column \'answers\' is not {"text": [...], "answer_start": [...]}, nor a list of'),
        ({"text": ["a"], "answer_start": []}, "column 'answers' has fewer values in answer_start than in text"),
        ({"text": [""], "answer_start": [0]}, "column 'answers' has an answer without a text and a whole number"),
        (
            {"text": ["Paris"], "answer_start": [0]},
            "line 1: value 'Paris': column 'answers': an answer is not in its context; correct it, or set options.drop",
        ),
    ],
)
def test_what_is_wrong_with_answers_is_said(read, answers, said):
    with pytest.raises(DataError) as caught:
        read({"question": "Where?", "context": "Ada lived in London.", "answers": answers})
    assert said in str(caught.value)


def test_an_answer_that_stands_elsewhere_is_found_and_told(read):
    context = "London is not Little London at all."
    wrong = {"question": "Which?", "context": context, "answers": {"text": ["London"], "answer_start": [20]}}
    ((_, target),), said = read(wrong)
    assert target["start"] == [21]
    assert said == ["an answer stands elsewhere than answer_start says, the nearest place is taken: 1 row"]


def test_rows_with_answers_that_are_nowhere_are_left_out_on_request(read):
    wrong = {"question": "Which?", "context": "Nothing here.", "answers": {"text": ["London"], "answer_start": [0]}}
    rows, said = read(wrong, row("Where?", "Ada lived in London.", "London"), options=AnswerOptions(drop_wrong=True))
    assert [value[0] for value, _ in rows] == ["Where?"]
    assert said == ["an answer does not stand in the context, left out: 1 row"]


def test_a_window_points_at_the_tokens_of_the_answer(settings, registry, tmp_path):
    plan, (train, _) = prepare_all(settings(), registry, tmp_path / "work")
    tokenizer = plan.encoder._tokenizer
    wanted = {text for target in plan.prepared.train.data.targets() for text in target["text"]}
    found = 0
    for number in range(len(train)):
        batch = train.batch([number])
        start, end = batch["targets"][0].tolist()
        if (start, end) != (0, 0):
            passage = (
                tokenizer.decode(batch["input_ids"][0, start : end + 1].tolist()).replace(" ", "").replace("##", "")
            )
            assert passage in {text.lower().replace(" ", "") for text in wanted}
            found += 1
    assert found > 50


def test_the_loss_is_the_mean_of_both_ends(settings, registry, tmp_path):
    plan, _ = prepare_all(settings(), registry, tmp_path / "work")
    logits, targets = torch.randn(3, 7, 2), torch.tensor([[1, 2], [0, 0], [4, 6]])
    expected = (cross_entropy(logits[..., 0], targets[:, 0]) + cross_entropy(logits[..., 1], targets[:, 1])) / 2
    assert torch.allclose(TASK.objective(plan).loss(logits, targets), expected)


def test_questions_about_one_context_stay_on_one_side(settings, registry, tmp_path):
    context = "The lamp is green and the chair is blue."
    rows = [row(f"question {number}?", f"{context} {number // 10}", "green") for number in range(200)]
    (tmp_path / "shared.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan, _ = prepare_all(settings(data={"train": str(tmp_path / "shared.jsonl")}), registry, tmp_path / "work")
    prepared = plan.prepared
    sides = [{context for _, context in part.data.inputs()} for part in (prepared.train, prepared.test)]
    assert not sides[0] & sides[1]


def test_answers_are_learned_and_measured(settings, registry, tmp_path):
    plan, sides = prepare_all(settings(), registry, tmp_path / "work")
    assert set(teach(plan, sides).trained.figures) == {"f1", "exact_match"}


# A graph of two ends is held against the pipeline by what serves it.
@pytest.mark.slow
def test_a_version_is_registered_and_answers_as_the_pipeline(settings, registry):
    made = run(settings(), registry)
    assert set(made.release.evaluations["fp32"].metrics) == {"f1", "exact_match"}
    folder = pull(open_store(registry.uri), "finder:1", cache=registry.cache).folder
    predictor = open_predictor(folder, variant="fp32")
    assert predictor.model.options["handle_impossible_answer"]
    model = AutoModelForQuestionAnswering.from_pretrained(folder / "weights")
    reader = Reader(model, AutoTokenizer.from_pretrained(folder / "weights"))
    asked = ("what is it about?", "I took the lamp back to the shop after three days of waiting.")
    (answer,) = predictor.predict([asked], {"handle_impossible_answer": False})
    expected = reader(question=asked[0], context=asked[1], max_seq_len=32, max_answer_len=15)
    assert answer["answer"] == expected["answer"]
    assert answer["score"] == pytest.approx(expected["score"], abs=1e-4)
    predictor.close()
