"""Explanations of what is answered per token, by models whose tokens answer for themselves."""

import pytest

from tunewright.serving.errors import InputError
from tunewright.serving.explain.explaining import explain, run_steps
from tunewright.serving.explain.subject import Asked

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
LONG = "Marie Curie was born in Warsaw and worked in Paris with Pierre; nobody from Google came to New York. " * 3


def explained(predictor, one, budget=96, target=None):
    (read,), _ = predictor.task.read_inputs([one], predictor.model)
    found = run_steps(predictor, explain(predictor, read, Asked(budget, target)))
    for one_of in found:
        assert one_of["rows"] <= budget
    return found


@pytest.fixture
def tagger(tiny, served):
    """A model whose tags hang on each token alone."""
    return served(tiny("bert", "token-classification", labels=LABELS, max_length=64, context_free=True).folder)


@pytest.mark.parametrize("text", ["Marie Curie was born in Warsaw.", LONG])
def test_each_entity_has_its_own_words_for_a_reason(tagger, text):
    entities = tagger.predict([text])[0]
    found = explained(tagger, text, budget=400)
    assert [(one["target"], one["start"], one["end"]) for one in found] == [
        (entity["entity_group"], entity["start"], entity["end"]) for entity in entities
    ]
    for one, entity in zip(found, entities, strict=True):
        assert one["score"] == pytest.approx(entity["score"], abs=1e-5)
        heaviest = max(one["parts"], key=lambda part: abs(part["weight"]))
        assert heaviest["start"] < one["end"]
        assert one["start"] < heaviest["end"]


def test_one_kind_of_entity_can_be_explained(tagger):
    found = explained(tagger, "Marie Curie was born in Warsaw.", target="LOC")
    assert {one["target"] for one in found} <= {"LOC"}
    with pytest.raises(InputError) as error:
        explained(tagger, "Marie", target="ORG")
    assert str(error.value) == "parameter 'target' is 'ORG'; this model's entities are: PER, LOC"


def test_a_text_without_tokens_has_nothing_to_explain(tagger):
    assert explained(tagger, "") == []


@pytest.mark.parametrize(
    "architecture", ["bert", *(pytest.param(name, marks=pytest.mark.slow) for name in ("roberta", "xlm-roberta"))]
)
def test_an_answer_is_explained_by_the_words_of_question_and_context(tiny, served, architecture):
    predictor = served(tiny(architecture, "question-answering", max_length=64).folder)
    one = {"question": "Where was Marie born?", "context": "Marie Curie was born in Warsaw and worked in Paris."}
    answer = predictor.predict([(one["question"], one["context"])])[0]
    (found,) = explained(predictor, one)
    assert (found["target"], found["start"], found["end"]) == (answer["answer"], answer["start"], answer["end"])
    for field, text in one.items():
        parts = [part for part in found["parts"] if part["field"] == field]
        assert [part["text"] for part in parts] == [text[part["start"] : part["end"]] for part in parts]
        assert "".join(part["text"] for part in parts) == text.replace(" ", "")


def test_an_answer_of_a_long_context_is_explained_in_its_window(tiny, served):
    predictor = served(tiny("bert", "question-answering", max_length=40).folder)
    one = {"question": "Where?", "context": LONG}
    answer = predictor.predict([("Where?", LONG)])[0]
    (found,) = explained(predictor, one, budget=128)
    context = [part for part in found["parts"] if part["field"] == "context"]
    assert context[0]["start"] <= answer["start"]
    assert answer["end"] <= context[-1]["end"]
