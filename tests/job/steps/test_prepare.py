"""From settings to data that is ready to be learned from, with what is said on the way."""

import json
import os
import re
from dataclasses import replace
from typing import Literal

import pytest
from pydantic import model_validator

from tunewright.job.data.columns import Options
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.kinds.plan import Plan
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import read_options
from tunewright.job.steps.encode import encode_sides
from tunewright.job.steps.prepare import prepare
from tunewright.job.tasks import TASKS

DATA = os.environ.get("TUNEWRIGHT_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TUNEWRIGHT_DATA does not name a folder of real data sets")


@pytest.fixture
def made(write, tmp_path):
    """made(train="...", data={...}): the prepared data of CSV contents."""

    def make(train, *, validation=None, test=None, data=None, **settings):
        sources = {"train": train, "validation": validation, "test": test}
        paths = {
            name: str(write(f"{name}.csv", content.encode()))
            for name, content in sources.items()
            if content is not None
        }
        job = JobSettings(model_name="x", data={**paths, **(data or {})}, **settings)
        return prepare(job, tmp_path / "cache", tmp_path / "work")

    return make


@pytest.fixture
def messages(capsys):
    """What has been said so far, as (level, message)."""

    def read():
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [(event["level"], event["message"]) for event in events]

    return read


def table(rows, labels=2, start=0):
    return "text,label\n" + "".join(f"text {row},label {row % labels}\n" for row in range(start, start + rows))


def test_what_is_missing_is_split_off(made, messages):
    prepared = made(table(100))
    assert [len(part) for part in (prepared.train, prepared.validation, prepared.test)] == [80, 10, 10]
    assert prepared.labels == ["label 0", "label 1"]
    said = messages()
    assert ("info", "train 80, validation 10, test 10") in said
    assert ("info", "2 labels: label 0 40, label 1 40") in said


def test_what_is_given_is_not_touched(made):
    prepared = made(table(100), test=table(30, start=100))
    assert [len(part) for part in (prepared.train, prepared.validation, prepared.test)] == [90, 10, 30]
    assert prepared.test.data.inputs()[0] == "text 100"
    assert prepared.test.targets.tolist() == [0, 1] * 15


def test_the_fingerprint_tells_files_rows_and_splits(made):
    first, again = made(table(100)).facts, made(table(100)).facts
    assert first == again
    assert first["rows"] == {"train": 80, "validation": 10, "test": 10}
    assert len(first["files"]["train"][0]["sha256"]) == 64
    other = made(table(101)).facts
    assert other["split_digests"]["train"] != first["split_digests"]["train"]


def test_the_order_of_the_rows_does_not_change_the_split(made):
    lines = table(100).splitlines(keepends=True)
    backwards = "".join([lines[0], *reversed(lines[1:])])
    assert made(table(100)).facts["split_digests"] == made(backwards).facts["split_digests"]


def test_a_limit_draws_rows_from_the_whole_file(made):
    prepared = made(table(1000), data={"limit": 100})
    assert len(prepared.train) + len(prepared.validation) + len(prepared.test) == 100
    numbers = [int(text.removeprefix("text ")) for text in prepared.train.data.inputs()]
    assert max(numbers) > 800


def test_test_texts_that_stand_in_validation_are_warned_about(made, messages):
    made(table(20), validation=table(10, start=30), test=table(10, start=36))
    assert ("warning", "4 of 10 test texts also stand in validation: the figures flatter") in messages()


def test_texts_on_two_given_sides_are_warned_about(made, messages):
    made(table(20), validation=table(10), test=table(10, start=15))
    said = messages()
    assert ("warning", "10 of 10 validation texts also stand in train: the figures flatter") in said
    assert ("warning", "5 of 10 test texts also stand in train: the figures flatter") in said


def test_validation_and_test_of_the_same_bytes_are_refused(made, tmp_path):
    with pytest.raises(DataError) as caught:
        made(table(100), validation=table(20, start=100), test=table(20, start=100))
    assert str(caught.value) == (
        f"data.test ({tmp_path / 'test.csv'}) holds the same bytes as data.validation ({tmp_path / 'validation.csv'}); "
        "leave one of the two out: rows are split off for it"
    )


def test_repeated_texts_are_told(made, messages):
    made(table(100) + "text 0,label 0\n" * 5, validation=table(5, start=200), test=table(5, start=300))
    assert ("info", "5 training rows repeat the text of another row") in messages()


def test_equal_texts_with_different_labels_are_counted(made, messages):
    extra = "text 0,label 1\nTEXT 0,label 1\ntext 1,label 1\n"
    made(table(100) + extra, validation=table(5, start=200), test=table(6, start=300))
    assert any("3 training rows have the text of another row but not its label" in message for _, message in messages())


def test_a_side_of_one_label_is_warned_about(made, messages):
    made(table(100), validation=table(5, labels=1, start=200), test=table(6, start=300))
    assert ("warning", "all rows of validation have one label (label 0): its figures say little") in messages()


def test_a_label_of_three_rows_keeps_two_for_training(made):
    prepared = made(table(100) + "".join(f"rare {row},rare\n" for row in range(3)))
    assert (prepared.train.targets == prepared.labels.index("rare")).sum() == 2


def test_rows_of_labels_that_training_lacks_are_left_out_or_count_as_wrong(made, messages):
    sides = {"validation": table(9, labels=3, start=200), "test": table(6, labels=3, start=300)}
    prepared = made(table(100), **sides, data={"unknown_labels": "leave_out"})
    assert (len(prepared.validation), len(prepared.test)) == (6, 4)
    assert prepared.facts["left_out_rows"]["test"] == {"with a label that no row of data.train has": 2}
    said = [message for _, message in messages()]
    assert any(message.endswith(", 2 with a label that no row of data.train has left out") for message in said)
    prepared = made(table(100), **sides, data={"unknown_labels": "wrong"})
    assert (prepared.labels, len(prepared.test)) == (["label 0", "label 1"], 6)
    assert prepared.test.targets.tolist() == [0, 1, 2, 0, 1, 2]


def test_rows_to_skip_are_counted(made, messages):
    prepared = made(table(90, labels=3), data={"skip_labels": ["label 2"]})
    assert prepared.labels == ["label 0", "label 1"]
    assert any(message.endswith(", 30 with a label of data.skip_labels left out") for _, message in messages())


def test_rare_labels_and_a_label_of_nearly_all_rows_are_warned_about(made, messages):
    made("text,label\n" + "".join(f"text {row},{'rare' if row % 250 == 0 else 'common'}\n" for row in range(1000)))
    said = messages()
    assert ("warning", "labels with under 8 training rows: 1, such as 'rare'; expect little of them") in said
    assert any(level == "warning" and "accuracy says nothing here" in message for level, message in said)


def test_labels_that_are_written_in_two_ways_are_warned_about(made, messages):
    rows = "".join(f"text {row},{('Spam', 'ham', 'spam', 'ham')[row % 4]}\n" for row in range(100))
    prepared = made("text,label\n" + rows, data={"validation_fraction": 0.2, "test_fraction": 0.2})
    assert prepared.labels == ["Spam", "ham", "spam"]
    (said,) = [message for level, message in messages() if level == "warning" and "differ only in" in message]
    assert re.fullmatch(r"the labels 'Spam' .* and 'spam' .* differ only in capitals, .* and are learned as two", said)


def test_the_range_of_scores_is_told(made, messages):
    rows = "text,score\n" + "".join(f"text {row},{row / 10}\n" for row in range(50))
    prepared = made(rows, task="text-regression")
    assert prepared.problem == "regression"
    assert any(message.startswith("targets from 0") and "mean 2." in message for _, message in messages())


@pytest.mark.parametrize(
    ("train", "data", "said"),
    [
        (
            "text,label\n" + "".join(f"t{row},label {row // 2}\n" for row in range(20)),
            {},
            "no rows are left for validation; give data.validation, more rows, or a larger data.validation_fraction",
        ),
        (
            table(100),
            {"test_fraction": 0},
            "no rows are left for test; give data.test, more rows, or a larger data.test",
        ),
        (
            table(1000, labels=50),
            {"limit": 60},
            "label 'label 11' has no training row left after data.limit and the split (so have 14 more); "
            "raise data.limit, add rows, or give data.validation and data.test",
        ),
        (table(20, labels=1), {}, "the training rows hold 1 label ('label 0'); at least 2 are needed"),
        (table(20) + "text 21,lone\n", {}, "label 'lone' has only one training row; "),
    ],
)
def test_data_that_cannot_be_learned_from_is_refused(made, train, data, said):
    with pytest.raises(DataError) as caught:
        made(train, data=data)
    assert str(caught.value).startswith(said)


class WindowOptions(Options):
    """Options as a task may have them."""

    stride: int
    """A number that must be given."""
    scheme: Literal["bio", "plain"] = "bio"
    """A word with a default."""

    @model_validator(mode="after")
    def _agrees(self):
        if self.scheme == "plain" and self.stride > 8:
            raise ValueError("A stride over 8 needs the scheme bio")
        return self


@pytest.fixture
def options(monkeypatch):
    """options(stride=3): what a task with options makes of them."""
    changed = replace(TASKS["text-classification"], options=WindowOptions)
    monkeypatch.setitem(TASKS.built_in, "text-classification", changed)
    return lambda **given: read_options(JobSettings(model_name="x", data={"train": "x.csv"}, options=given))


def test_options_are_those_of_the_task(options, made):
    assert options(stride="3") == WindowOptions(stride=3, scheme="bio")
    assert made(table(100), options={"stride": 4, "scheme": "plain"}).options == WindowOptions(stride=4, scheme="plain")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stride": 3, "strid": 4}, "options.strid is not a setting of text-classification; it knows: stride, scheme"),
        ({}, "options.stride must be set"),
        (
            {"stride": "many", "scheme": "x"},
            "options.stride is 'many': input should be a valid integer, unable to parse string as an integer\n"
            "options.scheme is 'x': input should be 'bio' or 'plain'",
        ),
        (
            {"stride": 9, "scheme": "plain"},
            "options is {'stride': 9, 'scheme': 'plain'}: a stride over 8 needs the scheme bio",
        ),
    ],
)
def test_options_that_are_wrong_are_refused_each_with_its_sentence(options, given, said):
    with pytest.raises(SettingsError) as caught:
        options(**given)
    assert str(caught.value) == said


def test_options_are_refused_before_the_data_is_read(tmp_path):
    settings = JobSettings(model_name="x", data={"train": "nowhere.csv"}, options={"stride": 3})
    with pytest.raises(SettingsError) as caught:
        prepare(settings, tmp_path / "cache", tmp_path / "work")
    assert str(caught.value) == "options.stride is not a setting of text-classification; it knows: none"


def test_rows_over_the_limit_are_counted_and_warned_about(made, messages, registry, tiny_base, tmp_path):
    long = "".join(f"good {'bad ' * 20}{row},label {row % 2}\n" for row in range(5))
    prepared = made(table(40) + long, validation=table(5, start=100), test=table(5, start=200))
    settings = JobSettings(
        model_name="x", base_model=str(tiny_base), data={"train": "train.csv"}, train={"max_length": 16}
    )
    base = fetch_base_model(settings.base_model, registry)
    encode_sides(Plan(settings, prepared, base, prepared.task.inputs.open_encoder(settings, base)), tmp_path / "work")
    assert prepared.facts["truncated_rows"] == 5
    said = messages()
    assert ("warning", "5 of 50 rows are longer than 16 tokens and are cut") in said
    assert any(message.startswith("tokens per row: median ") and message.endswith("limit 16") for _, message in said)


@needs_data
def test_a_real_chinese_set_is_warned_about_with_an_english_tokenizer(messages, registry, tiny_base, tmp_path):
    data = {"train": f"{DATA}/waimai_10k/waimai_10k.csv", "columns": {"text": "review"}, "limit": 500}
    settings = JobSettings(model_name="x", base_model=str(tiny_base), data=data)
    prepared = prepare(settings, tmp_path / "cache", tmp_path / "work")
    base = fetch_base_model(settings.base_model, registry)
    encode_sides(Plan(settings, prepared, base, prepared.task.inputs.open_encoder(settings, base)), tmp_path / "work")
    (warned,) = (message for level, message in messages() if level == "warning" and "letters" in message)
    assert warned.endswith(
        "this tokenizer does not know the language of the data; choose a base model that was trained on it"
    )
    assert prepared.facts["tokenizer_fit"]["unknown_letters"] > 0.5
