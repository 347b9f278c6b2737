"""One key of a mapping: by a flag, a variable or the file, of which the first wins."""

import pytest

from tunewright.job.errors import SettingsError
from tunewright.job.settings.entries import merged, take_flags
from tunewright.job.settings.job import JobSettings
from tunewright.job.settings.load import load_settings
from tunewright.registry.variables import mappings

LEAST = ["--model_name", "reviews", "--data.train", "train.csv"]


@pytest.fixture
def load(write):
    """load("--flag", ..., file="yaml"): the settings."""

    def make(*flags, file=""):
        config = write("job.yaml", file.encode())
        return load_settings(["--config", str(config), *LEAST, *flags], "tunewright train")

    return make


def refused(*flags):
    with pytest.raises(SettingsError) as caught:
        load_settings([*LEAST, *flags], "tunewright train")
    return str(caught.value)


def test_the_mappings_of_a_job():
    assert {".".join(path) for path, _ in mappings(JobSettings)} == {
        *("options", "data.columns", "data.label_names", "adapt.data.columns", "adapt.data.label_names"),
        *("search", "train.class_weights", "gate.min", "gate.max", "gate.max_drop", "gate.max_flip"),
        *("data.gate", "adapt.data.gate"),
    }


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("data.columns.text", "sentence", {"text": "sentence"}),
        ("data.label_names.0", "negative", {"0": "negative"}),
        ("train.class_weights.spam", "2.5", {"spam": 2.5}),
        ("gate.min.accuracy", "0.8", {"accuracy": 0.8}),
        ("gate.max_drop.int8", "0.02", {"int8": 0.02}),
        ("adapt.data.columns.text", "body", {"text": "body"}),
        ("options.stride", "5", {"stride": 5}),
        ("options.learn", "false", {"learn": False}),
        ("options.source_prefix", "translate: ", {"source_prefix": "translate: "}),
        ("options.generation.stop", '["###"]', {"generation": {"stop": ["###"]}}),
    ],
)
def test_a_key_has_a_flag_and_a_variable(load, monkeypatch, name, value, read):
    file = "adapt: {data: {train: more.txt}}\n"
    mapping = next(path for path, _ in mappings(JobSettings) if name.startswith(".".join(path) + "."))

    def of(settings):
        for part in mapping:
            settings = getattr(settings, part)
        return settings

    assert of(load(f"--{name}", value, file=file)) == read
    assert of(load(f"--{name}={value}", file=file)) == read
    monkeypatch.setenv("JOB_" + name.upper().replace(".", "__"), value)
    assert of(load(file=file)) == read


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file_key_by_key(load, monkeypatch):
    monkeypatch.setenv("JOB_DATA__COLUMNS__TEXT", "of_variable")
    monkeypatch.setenv("JOB_DATA__COLUMNS__TEXT_PAIR", "of_variable")
    file = "data: {columns: {text: of_file, text_pair: of_file, label: of_file}}\n"
    settings = load("--data.columns.text", "of_flag", file=file)
    assert settings.data.columns == {"text": "of_flag", "text_pair": "of_variable", "label": "of_file"}


def test_a_key_goes_together_with_json(load, monkeypatch):
    monkeypatch.setenv("JOB_OPTIONS", '{"a": 1, "generation": {"num_beams": 2}}')
    monkeypatch.setenv("JOB_OPTIONS__B", "2")
    settings = load("--options", '{"c": 3}', "--options.generation.top_k", "4")
    assert settings.options == {"a": 1, "b": 2, "c": 3, "generation": {"num_beams": 2, "top_k": 4}}


def test_a_key_takes_the_place_of_what_is_no_mapping(load):
    assert load("--train.class_weights.spam", "2", file="train: {class_weights: balanced}\n").train.class_weights == {
        "spam": 2.0
    }


def test_a_label_is_taken_as_it_is_written(load):
    settings = load("--data.label_names.v1.0__Final", "new", "--data.label_names.-1=none", "--data.label_names.A", "=")
    assert settings.data.label_names == {"v1.0__Final": "new", "-1": "none", "A": "="}


def test_a_variable_gives_its_key_in_lower_case(load, monkeypatch):
    monkeypatch.setenv("JOB_DATA__LABEL_NAMES__A__B", "ab")
    assert load().data.label_names == {"a__b": "ab"}


def test_the_other_arguments_stay():
    assert take_flags(["--rows", "5", "--gate.min.f1=0.5", "x", "--data.columns", "{}"], JobSettings) == (
        ["--rows", "5", "x", "--data.columns", "{}"],
        {"gate": {"min": {"f1": "0.5"}}},
    )


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--data.columns.text"],
            "the flag --data.columns.text has no value; expected --data.columns.text VALUE, or "
            "--data.columns.text=VALUE",
        ),
        (
            ["--gate.min.f1", "--alias", "a"],
            "the flag --gate.min.f1 has no value; expected --gate.min.f1 VALUE, or --gate.min.f1=VALUE",
        ),
        (
            ["--data.columns.", "x"],
            "the flag --data.columns. has an empty name in it; expected one between all marks, as in "
            "--data.columns.NAME",
        ),
        (
            ["--options.a..b", "x"],
            "the flag --options.a..b has an empty name in it; expected one between all marks, as in --options.a.NAME.b",
        ),
        (
            ["--data.column.text", "x"],
            "unrecognized arguments: --data.column.text x; did you mean --data.columns? "
            "(tunewright train --help lists all)",
        ),
        (
            ["--gate.min.f1", "much"],
            "gate.min.f1 is 'much': input should be a valid number, unable to parse string as a number",
        ),
        (
            ["--gate.max_drop", "much"],
            "--gate.max_drop is 'much', which is no mapping; expected --gate.max_drop.NAME VALUE, or JSON",
        ),
        (["--train.class_weights.a", "0"], "train.class_weights.a is '0': input should be greater than 0"),
    ],
)
def test_a_key_at_fault_is_named(flags, sentence):
    assert refused(*flags) == sentence


def test_a_variable_at_fault_is_named(monkeypatch):
    monkeypatch.setenv("JOB_GATE__MIN__F1", "much")
    assert (
        refused() == "JOB_GATE__MIN__F1 is 'much': input should be a valid number, unable to parse string as a number"
    )
    monkeypatch.setenv("JOB_DATA__COLUMNS__", "x")
    assert refused() == (
        "the variable JOB_DATA__COLUMNS__ has an empty name in it; expected one between all marks, as in "
        "JOB_DATA__COLUMNS__NAME"
    )


def test_merging_leaves_both_trees_as_they_are():
    below, above = {"a": {"b": 1}, "c": 2}, {"a": {"d": 3}, "c": {"e": 4}}
    assert merged(below, above) == {"a": {"b": 1, "d": 3}, "c": {"e": 4}}
    assert (below, above) == ({"a": {"b": 1}, "c": 2}, {"a": {"d": 3}, "c": {"e": 4}})
