"""The settings of an import: what would teach is refused, and what it needs is asked for."""

import pytest

from tunewright.job.commands.imports.settings import ImportSettings, import_faults
from tunewright.job.errors import SettingsError
from tunewright.job.settings.load import load_settings


@pytest.fixture
def faults():
    """faults(train={...}): what is said of an import with these settings beside those that it needs."""

    def said(**changes):
        data = {"test": "test.csv"} | changes.pop("data", {})
        common = {"base_model": "./model", "model_name": "reviews", "data": data}
        return import_faults(ImportSettings(**(common | changes)))

    return said


def test_records_of_a_run_have_no_settings_that_teach():
    data, asked = {"test": ["test.csv"]}, {"max_length": 64}
    given = ImportSettings(base_model="./model", model_name="reviews", data=data, train=asked).told()
    assert given["train"] == asked
    assert not {"adapt", "search", "searched"} & set(given)
    assert given["data"]["test"] == ["test.csv"]


def test_no_training_rows_are_needed(faults):
    assert faults() == []
    assert faults(train={"max_length": 64}, data={"validation": "validation.csv"}, export={"abstain": 0.1}) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": {"epochs": 3}}, "train.epochs would have no effect: import teaches nothing; remove it"),
        ({"data": {"train": "a.csv"}}, "data.train would have no effect: import teaches nothing; remove it"),
        (
            {"data": {"limit": 9}},
            "data.limit would have no effect: it draws training rows, and there are none; remove it",
        ),
        (
            {"data": {"test_fraction": 0.2}},
            "data.test_fraction would have no effect: the rows of data.test, and of data.validation, are taken as they "
            "are given; remove it",
        ),
        ({"adapt": {}}, "adapt would have no effect: import teaches nothing; remove it"),
        (
            {"export": {"neighbours": 5}},
            "export.neighbours would have no effect: they are training rows, and there are none; remove it",
        ),
        ({"export": {"abstain": 0.1}}, "export.abstain needs validation rows: give data.validation"),
        (
            {"task": "masked-language-modelling"},
            "task is 'masked-language-modelling', of which no model can be imported; expected one of "
            "text-classification, text-regression, token-classification, question-answering, feature-extraction, "
            "translation, summarization, text-generation, image-classification, image-regression, "
            "audio-classification, audio-regression",
        ),
        # What is wrong with the settings of any job.
        ({"gate": {"min": {"rouge1": 0.5}}}, "gate.min names 'rouge1'; this task measures accuracy, macro_f1, mcc"),
    ],
)
def test_what_would_have_no_effect_is_refused(faults, changes, said):
    assert faults(**changes) == [said]


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(SettingsError) as caught:
        load_settings(["--train.epochs", "3"], "tunewright import", import_faults, ImportSettings)
    assert sorted(str(caught.value).splitlines()) == [
        "base_model must be set",
        "data.test must be set",
        "model_name must be set",
        "train.epochs would have no effect: import teaches nothing; remove it",
    ]
