"""The format of a file and the settings that go with it."""

import pytest

from tunewright.job.data.columns import read_roles
from tunewright.job.data.layout import format_faults, layout_of
from tunewright.job.data.readers.formats import KNOWN_NAMES, READERS
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.settings.data import DataSettings
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.contradictions import check_settings
from tunewright.job.tasks import TASKS


def test_a_format_that_is_none_is_told_with_those_that_are():
    assert format_faults(DataSettings(train="a", format="cvs")) == [
        "data.format is 'cvs': expected 'csv', 'tsv', 'json', 'jsonl', 'parquet', 'arrow', 'conll', 'conllu', 'squad', "
        "'text', 'fasttext', 'imagefolder', 'audiofolder'"
    ]
    assert format_faults(DataSettings(train="a", format="")) != []
    assert format_faults(DataSettings(train="a")) == []


def test_settings_of_another_format_are_told_at_once_with_other_mistakes_before_a_file_is_asked_for():
    data = {"train": "a", "format": "json", "header": False, "delimiter": ";", "comment": "#", "columns": {"txt": 0}}
    with pytest.raises(SettingsError) as caught:
        check_settings(JobSettings(model_name="x", data=data))
    names = ("delimiter", "header", "comment")
    *said, other = str(caught.value).splitlines()
    assert said == [f"data.{name} has no meaning for json; remove it" for name in names]
    assert other.startswith("data.columns has a role 'txt'")


def test_columns_that_a_format_does_not_have_are_told_before_a_file_is_asked_for():
    (said,) = format_faults(DataSettings(train="a", format="conll", columns={"tokens": "word"}))
    assert said.startswith("data.columns names 'word', which is no column of conll")
    assert format_faults(DataSettings(train="a", format="conllu", columns={"tokens": "form"})) == []


SETTINGS = {
    "header": False, "delimiter": ";", "quoting": True, "quote": "'", "encoding": "latin-1", "comment": "#",
    "sample_by": "line",
}  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
def test_every_format_takes_its_settings_and_refuses_the_others(kind):
    assert READERS[kind].settings <= set(SETTINGS)
    for name, value in SETTINGS.items():
        settings = DataSettings(train="a", format=kind, columns={"text": 0, "label": 1}, **{name: value})
        if name in READERS[kind].settings:
            assert format_faults(settings) == []
            assert getattr(layout_of("a", settings), name) == value
        else:
            assert format_faults(settings) == [f"data.{name} has no meaning for {kind}; remove it"]
            with pytest.raises(SettingsError, match=rf"^data.{name} has no meaning for {kind} \(a\); remove it$"):
                layout_of("a", settings)


@pytest.mark.parametrize(
    ("setting", "value"), [("header", True), ("delimiter", ";"), ("quoting", False), ("quote", "'")]
)
def test_a_setting_of_tables_is_refused_for_other_formats(setting, value):
    with pytest.raises(SettingsError) as caught:
        layout_of("a.jsonl", DataSettings(train="a.jsonl", **{setting: value}))
    assert str(caught.value) == f"data.{setting} has no meaning for jsonl (a.jsonl); remove it"


def test_a_setting_of_tables_is_refused_for_a_folder_without_one_that_has_it():
    settings = DataSettings(train="signs", format="imagefolder", delimiter=";")
    with pytest.raises(SettingsError) as caught:
        layout_of("signs/", settings)
    assert str(caught.value) == (
        "data.delimiter has no meaning for imagefolder (signs/), which has no table; remove it"
    )
    with pytest.raises(SettingsError) as caught:
        layout_of("signs/metadata.jsonl", settings)
    assert str(caught.value) == "data.delimiter has no meaning for imagefolder (signs/metadata.jsonl); remove it"
    assert layout_of("signs/metadata.csv", settings).delimiter == ";"


def test_a_name_that_tells_no_format_needs_one():
    with pytest.raises(DataError) as caught:
        layout_of("SMSSpamCollection", DataSettings(train="x"))
    assert str(caught.value) == (
        f"SMSSpamCollection: the format is not told by the name ({KNOWN_NAMES}); rename it or set data.format"
    )
    assert layout_of("SMSSpamCollection", DataSettings(train="x", format="tsv")).format == "tsv"


@pytest.mark.parametrize(("setting", "value"), [("header", False), ("delimiter", "@"), ("quote", "'")])
def test_a_setting_of_tables_beside_a_txt_file_names_the_format_that_fits(setting, value):
    with pytest.raises(SettingsError) as caught:
        layout_of("a.txt", DataSettings(train="a.txt", **{setting: value}))
    assert str(caught.value) == (
        f"data.{setting} has no meaning for text (a.txt); if this is a table, add `format: csv` under data:, else "
        "remove it"
    )
    assert layout_of("a.txt", DataSettings(train="a.txt", format="csv", **{setting: value})).format == "csv"


def test_a_number_is_a_score_and_no_name_of_a_class():
    settings = DataSettings(train="a.parquet", columns={"text": "text", "score": "label"})
    assert not layout_of("a.parquet", settings, read_roles(settings, TASKS["text-regression"].forms)).use_names
    settings = DataSettings(train="a.parquet")
    assert layout_of("a.parquet", settings, read_roles(settings, TASKS["text-classification"].forms)).use_names
