"""A bundle that answers."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tunewright.serving.engines.task import Task
from tunewright.serving.errors import BundleError, InputError, ModelFault
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.runs import plan_runs
from tunewright.serving.tasks import TASKS

ODD = {
    "empty": "",
    "blank": " \t\n",
    "emoji": "love it 😍👍🏽👨‍👩‍👧‍👦",
    "chinese": "这个产品太棒了",
    "right to left": "هذا المنتج رائع",
    "combining": "e\u0301" + "\u0301\u0323" * 20_000,
    "lone surrogate": "broken \ud83d here",
    "NUL": "great\x00product",
    "very long": "amazing " * 125_000,
    "one long word": "a" * 1_000_000,
}


def best(answer):
    return answer[0]["label"]


def test_predict_answers_the_two_sentences_of_the_readme(reviews, open_bundle):
    answers = open_bundle(reviews).predict(["This product is amazing!", "I hate this product!"])
    assert [best(answer) for answer in answers] == ["positive", "negative"]


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_every_odd_text_gets_an_answer(reviews, open_bundle, text):
    (answer,) = open_bundle(reviews).predict([text])
    assert sum(item["score"] for item in answer) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_text_gets_the_same_answer_alone_and_in_a_batch(reviews, open_bundle, variant):
    predictor = open_bundle(reviews, variant=variant)
    texts = [*ODD.values(), "This product is amazing!", "I hate it"]
    together = np.stack(predictor.outputs(texts))
    alone = np.concatenate([predictor.outputs([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5


def test_int8_rows_would_differ_if_they_shared_a_run(reviews, open_bundle):
    text = open_bundle(reviews, variant="int8").engine.text
    rows = text.encoder.encode(["love love love", "the price of a lamp"])
    (shared,) = text.session.run(text.encoder.pad(rows, text.session.inputs))
    assert np.abs(shared - np.stack(text.run(rows))).max() > 1e-4


def test_answers_keep_the_order_of_the_inputs(reviews, open_bundle):
    predictor = open_bundle(reviews, capacity=Capacity(threads=2, tokens_per_run=16))
    texts = ["great" + " lamp" * (index * 7 % 20) for index in range(20)]
    alone = np.concatenate([predictor.outputs([text]) for text in texts])
    assert np.abs(np.stack(predictor.outputs(texts)) - alone).max() < 1e-5
    assert np.abs(alone[1:] - alone[:-1]).min() > 1e-4


def test_no_inputs_get_no_answers(reviews, open_bundle):
    assert open_bundle(reviews).predict([]) == []


def test_a_pair_depends_on_both_texts_and_their_order(entailment, open_bundle):
    predictor = open_bundle(entailment)
    one, changed, swapped = predictor.outputs([("great", "a lamp"), ("great", "a guitar"), ("a lamp", "great")])
    assert np.abs(one - changed).max() > 1e-3
    assert np.abs(one - swapped).max() > 1e-3


def test_plan_fills_runs_with_rows_of_like_length_within_the_tokens():
    assert plan_runs([9, 2, 3, 2, 8], 18) == [[1, 3, 2], [4, 0]]


def test_plan_gives_a_row_that_is_over_the_tokens_its_own_run():
    assert plan_runs([100, 5, 100], 50) == [[1], [0], [2]]


def test_plan_without_tokens_runs_each_row_alone():
    assert plan_runs([3, 3, 1], 0) == [[2], [0], [1]]


def test_an_unknown_task_is_refused_when_the_bundle_is_opened(make_bundle, open_bundle, edit_model):
    folder = make_bundle()
    edit_model(folder, task="text-clasification")
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    assert str(caught.value) == (
        f"this version's task is 'text-clasification'; this program answers: {', '.join(sorted(TASKS))}"
    )


def test_an_unknown_variant_is_refused_with_those_there_are(reviews, open_bundle):
    with pytest.raises(BundleError, match=r"^this version has no variant 'int4': the variants are fp32, int8$"):
        open_bundle(reviews, variant="int4")


def test_an_unknown_parameter_is_refused_with_those_there_are(reviews, open_bundle):
    with pytest.raises(InputError, match=r"^unknown parameter 'topk'; text-classification knows: top_k, function_to"):
        open_bundle(reviews).predict(["x"], {"topk": 1})


def test_a_logit_that_is_no_number_is_never_answered(make_bundle, open_bundle, recipe):
    predictor = open_bundle(make_bundle(recipe(nan_on="guitar")))
    assert predictor.predict(["a lamp"])
    with pytest.raises(ModelFault) as caught:
        predictor.predict(["a guitar"])
    assert str(caught.value) == (
        "the model answered with a number that is not finite; its graph or its weights are broken"
    )


def test_a_graph_with_too_few_outputs_is_a_fault_and_not_spread_over_the_labels(make_bundle, open_bundle, recipe):
    folder = make_bundle(recipe(labels=("score",), problem="regression", task="text-regression"))
    content = json.loads((folder / "model.json").read_text())
    content |= {"labels": ["a", "b"], "problem": "single_label", "task": "text-classification"}
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(ModelFault, match=r"^the graph answers with the shape \(1, 1\) where \(1, 2\) is needed$"):
        open_bundle(folder).predict(["x"])


def test_texts_are_answered_without_what_reads_images_and_recordings():
    code = "import sys, tunewright.serving.predictor; print(*{'PIL', 'soundfile', 'soxr', 'boto3'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_each_name_of_a_task_leads_to_one():
    assert all(isinstance(TASKS[name], Task) for name in TASKS.built_in)
