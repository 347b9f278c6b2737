"""What a model says of its head: the order of its labels is kept, and what is no head for the task is told."""

import pytest

from tunewright.job.commands.imports.head import head_labels
from tunewright.job.commands.imports.settings import ImportSettings
from tunewright.job.errors import BaseModelError, SettingsError

BERT = {"architectures": ["BertForSequenceClassification"]}


def named(*labels):
    return {"id2label": {str(place): label for place, label in enumerate(labels)}}


def labels_of(config, role="label", task="text-classification", names=None, **more):
    data = {"test": "test.csv", "label_names": names or {}}
    settings = ImportSettings(task=task, base_model="./model", model_name="reviews", data=data, **more)
    return head_labels(config, settings, role, "./model")


def test_the_order_is_that_of_the_head():
    assert labels_of(BERT | named("positive", "neutral", "negative")) == ["positive", "neutral", "negative"]
    # Files say it in any order.
    told = {"id2label": {"1": "b", "0": "z"}}
    assert labels_of(BERT | told) == ["z", "b"]
    assert labels_of({"architectures": ["MeanPooledClassifier"], **named("b", "a")}) == ["b", "a"]
    # Without the name of a class the weights tell.
    assert labels_of(named("b", "a")) == ["b", "a"]


def test_heads_without_names_of_labels_are_named_by_the_settings():
    given = {"0": "negative", "1": "positive"}
    assert labels_of(BERT, names=given) == ["negative", "positive"]
    assert labels_of(BERT | named("LABEL_0", "LABEL_1"), names=given) == ["negative", "positive"]
    assert labels_of(BERT, names={"LABEL_1": "yes", "LABEL_0": "no"}) == ["no", "yes"]
    with pytest.raises(SettingsError) as caught:
        labels_of(BERT | named("LABEL_0", "LABEL_1", "LABEL_2"), names={"0": "bad", "1": "good"})
    assert str(caught.value) == (
        "the model calls its labels LABEL_0, LABEL_1, LABEL_2, which says nothing; name LABEL_2 in data.label_names, "
        "for example --data.label_names.LABEL_2 NAME"
    )


def test_a_number_is_called_as_its_column():
    one = BERT | named("LABEL_0")
    assert labels_of(one, "score", "text-regression") == ["score"]
    assert labels_of({"architectures": ["BertForQuestionAnswering"]}, "answers", "question-answering") == []
    assert labels_of({"architectures": ["MarianMTModel"]}, "target", "translation") == []


@pytest.mark.parametrize(
    ("config", "asked", "said"),
    [
        (
            {"architectures": ["BertModel"]},
            {},
            "is a BertModel, which has no head for text-classification (as a ...ForSequenceClassification has): name "
            "the task that it was taught, or teach it with `tunewright train`",
        ),
        (
            BERT | named("positive"),
            {},
            ": its head has one number, not one for each of several labels; task: text-regression imports such a model",
        ),
        (
            BERT | named("a", "b", "c"),
            {"role": "score", "task": "text-regression"},
            ": its head has 3 numbers, not one; task: text-classification imports a model of labels",
        ),
        (
            BERT | named("a", "b") | {"problem_type": "multi_label_classification"},
            {},
            ": config.json says problem_type: multi_label_classification; name the column with the truth in "
            "data.columns.labels, not in data.columns.label",
        ),
        (
            BERT | named("a", "b") | {"problem_type": "regression"},
            {},
            ": config.json says problem_type: regression; set task to text-regression",
        ),
        (BERT | named("a", " a"), {}, ": two of its labels are called 'a', or one has no name; give each a name of its "
         "own in id2label of config.json"),
        (
            BERT | {"id2label": {"0": "a", "2": "b"}},
            {},
            ": id2label of config.json does not name the numbers 0 to 1",
        ),
        (
            BERT | {"num_labels": "many"},
            {},
            ": config.json sets num_labels to 'many', which is no count",
        ),
        (
            {"architectures": ["BertForTokenClassification"], **named("O", "PER")},
            {"role": "tags", "task": "token-classification"},
            " has the tag 'PER', which is none of options.scheme: BIO; set it to the scheme of the model (BIO, BIOES, "
            "or plain for one tag a word)",
        ),
    ],
)  # fmt: skip
def test_what_is_no_head_for_the_task_is_told(config, asked, said):
    with pytest.raises(BaseModelError) as caught:
        labels_of(config, **asked)
    assert str(caught.value) == "base model './model'" + (said if said[0] == ":" else f" {said.lstrip()}")


def test_tags_are_held_against_the_scheme():
    config = {"architectures": ["BertForTokenClassification"], **named("O", "B-PER", "I-PER")}
    asked = {"role": "tags", "task": "token-classification"}
    assert labels_of(config, **asked) == ["O", "B-PER", "I-PER"]
    plain = config | named("NOUN", "VERB")
    assert labels_of(plain, **asked, options={"scheme": "plain"}) == ["NOUN", "VERB"]
