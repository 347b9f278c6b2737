"""Rows for people and their tools, and what comes back from these."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import pytest

from tunewright.job.commands.label.item import Item, Question
from tunewright.job.commands.label.read_back import read_export
from tunewright.job.commands.label.tools import WRITERS, label_studio_config
from tunewright.job.commands.label.write import form_of, write_items
from tunewright.job.errors import DataError, SettingsError

ONE = Question("label", ("good & cheap", "bad"), "reviews:7")
PAIR = Question("label", ("yes", "no"), "pairs:2", columns=("text", "text_pair"))
SEVERAL = Question("labels", ("joy", "fear"), "moods:1")
TAGGED = Question("tags", ("PER", "LOC"), "names:3", columns=("tokens",))
ROWS = {
    "one": (
        ONE,
        Item(("a lamp, red",), ("good & cheap",), (0.75,), 0.5),
        {"text": "a lamp, red", "label": "good & cheap"},
    ),
    "pair": (PAIR, Item(("a", "b"), ("no",), (0.6,), 0.8), {"text": "a", "text_pair": "b", "label": "no"}),
    "several": (
        SEVERAL,
        Item(("well",), ("joy", "fear"), (0.9, 0.6), 0.8),
        {"text": "well", "labels": ["fear", "joy"]},
    ),
    "tags": (
        TAGGED,
        Item(("Ada", "saw", "New", "York"), ("B-PER", "O", "B-LOC", "I-LOC"), (0.9, 0.8, 0.7, 0.6), 0.3),
        {"tokens": ["Ada", "saw", "New", "York"], "tags": ["B-PER", "O", "B-LOC", "I-LOC"]},
    ),
}


def written(form, name):
    asked, item, _ = ROWS[name]
    return WRITERS[form]([item], asked)


def agreed_in_label_studio(tasks):
    """As its JSON export has them, where a person took over what was predicted."""
    return [
        {"data": one["data"], "annotations": [{"was_cancelled": False, "result": one["predictions"][0]["result"]}]}
        for one in tasks
    ]


def agreed_in_argilla(records):
    return [
        {
            **one,
            "responses": {name: [{"value": of["value"], "user_id": "u"}] for name, of in one["suggestions"].items()},
        }
        for one in records
    ]


def min_of(tasks):
    """As JSON-MIN has them."""
    rows = []
    for one in tasks:
        (prediction,), value = one["predictions"], []
        for part in prediction["result"]:
            value.append(part["value"] if part["type"] == "labels" else part["value"]["choices"])
        is_tags = prediction["result"][0]["type"] == "labels"
        choices = value if is_tags else {"choices": value[0]} if len(value[0]) > 1 else value[0][0]
        rows.append({**one["data"], "id": 1, prediction["result"][0]["from_name"]: choices})
    return rows


CAME_BACK = {
    "label-studio": ("label-studio", agreed_in_label_studio),
    "json-min": ("label-studio", min_of),
    "argilla": ("argilla", agreed_in_argilla),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("tool", CAME_BACK)
def test_what_people_agree_with_comes_back_as_rows_to_learn_from(tool, name, tmp_path):
    form, agreed = CAME_BACK[tool]
    export = tmp_path / "export.json"
    export.write_text(json.dumps(agreed(json.loads(written(form, name)))))
    assert read_export(export, "BIO").rows == [ROWS[name][2]]


def test_a_task_of_label_studio_holds_the_prediction():
    (task,) = json.loads(written("label-studio", "one"))
    (prediction,) = task["predictions"]
    assert task["data"] == {"text": "a lamp, red"}
    assert (prediction["model_version"], prediction["score"]) == ("reviews:7", 0.75)
    (result,) = prediction["result"]
    assert (result["from_name"], result["to_name"], result["type"]) == ("label", "text", "choices")
    assert result["value"] == {"choices": ["good & cheap"]}


def test_the_labelling_interface_names_every_label():
    read = ElementTree.fromstring(label_studio_config(ONE))
    (choices,) = read.iter("Choices")
    assert (choices.get("name"), choices.get("toName"), choices.get("choice")) == ("label", "text", "single")
    assert [one.get("value") for one in choices] == ["good & cheap", "bad"]
    assert [one.get("value") for one in ElementTree.fromstring(label_studio_config(TAGGED)).iter("Label")] == [
        "PER",
        "LOC",
    ]


def test_a_record_of_argilla_holds_a_suggestion():
    (record,) = json.loads(written("argilla", "tags"))
    assert record["fields"] == {"text": "Ada saw New York"}
    assert record["suggestions"]["tags"]["agent"] == "names:3"
    assert record["suggestions"]["tags"]["value"] == [
        {"start": 0, "end": 3, "label": "PER"},
        {"start": 8, "end": 16, "label": "LOC"},
    ]


def test_a_table_has_a_column_to_fill_in():
    (row,) = csv.DictReader(io.StringIO(written("csv", "one")))
    assert row == {"text": "a lamp, red", "label": "", "predicted": "good & cheap", "score": "0.75", "doubt": "0.5"}
    assert json.loads(written("jsonl", "tags"))["tags"] is None


def test_what_most_people_say_holds(tmp_path):
    def said(*labels):
        result = [[{"from_name": "label", "value": {"choices": [label]}}] for label in labels]
        return {"data": {"text": "a"}, "annotations": [{"result": one} for one in result]}

    skipped = {"data": {"text": "b"}, "annotations": [{"result": [], "was_cancelled": True}]}
    export = tmp_path / "export.json"
    export.write_text(
        json.dumps([said("x", "y", "x"), said("x", "y"), skipped, {"data": {"text": "c"}, "annotations": []}])
    )
    read = read_export(export, "BIO")
    assert (read.rows, read.disputed, read.unlabelled) == ([{"text": "a", "label": "x"}], 1, 2)


@pytest.mark.parametrize(
    "bare",
    [
        {"fields": {"text": "b"}, "suggestions": {}, "responses": {}},
        {"fields": {"text": "b"}, "suggestions": {"label": {"value": "x"}}, "responses": {}},
        {"text": "b", "id": 2, "annotation_id": 7},
    ],
)
def test_a_record_to_which_nobody_has_said_anything_is_counted(bare, tmp_path):
    export = tmp_path / "export.json"
    export.write_text(json.dumps([bare, {"text": "a", "label": "x"}]))
    read = read_export(export, "BIO")
    assert (read.rows, read.unlabelled) == ([{"text": "a", "label": "x"}], 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as JSON (JSONDecodeError); expected an export of Label Studio"),
        ("{}", "holds no list of records; expected an export of Label Studio (JSON or JSON-MIN) or of Argilla"),
        ('[{"text": "a", "sentiment": "x"}]', "record 1: has an unknown form (its questions are text, sentiment); "),
        (
            '[{"data": {}, "annotations": [{"result": 7}]}]',
            "record 1: has an unknown form (int where a list belongs); ",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(text, said, tmp_path):
    export = tmp_path / "export.json"
    export.write_text(text)
    with pytest.raises(DataError) as caught:
        read_export(export, "BIO")
    assert said in str(caught.value)


def test_a_name_says_how_rows_are_written(tmp_path):
    assert form_of(tmp_path / "a.csv", None) == "csv"
    assert form_of(tmp_path / "a.json", "argilla") == "argilla"
    with pytest.raises(SettingsError, match=r"--to argilla writes JSON, and --output is 'a.csv'; expected NAME.json"):
        form_of(type(tmp_path)("a.csv"), "argilla")
    with pytest.raises(SettingsError, match=r"expected NAME.csv or NAME.jsonl, or with --to NAME.json"):
        form_of(tmp_path / "a.json", None)
    with pytest.raises(SettingsError, match=r"a table cannot hold words and their tags; expected NAME.jsonl"):
        write_items([], TAGGED, tmp_path / "a.csv", "csv")
    assert list(tmp_path.iterdir()) == []
