"""Files that are something else than their name says: each is told with what reads it, and following that reads it."""

import json
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from tunewright.job.data.check import check
from tunewright.job.data.columns import read_roles
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.settings.data import DataSettings
from tunewright.job.tasks import TASKS

ROWS = [{"text": "so, good", "label": "a"}, {"text": "bad: very", "label": "b"}]
INPUTS, TARGETS = ["so, good", "bad: very"], [["a"], ["b"]]
ARTICLE = {"title": "t", "paragraphs": [{"context": "a b", "qas": [{"id": "1", "question": "q", "answers": [
    {"text": "a", "answer_start": 0}]}]}]}  # fmt: skip
SQUAD_2 = {"version": "v2.0", "data": [ARTICLE]}
CONLL = "EU B-ORG\nrejects O\n\nPeter B-PER\nsleeps O\n"
SENTENCES = [("EU", "rejects"), ("Peter", "sleeps")]
UNIVERSAL = "# text = a\n" + "1\tEU\tEU\tNOUN\tX\t_\t0\troot\t_\t_\n" + "2\truns\trun\tVERB\tX\t_\t1\tx\t_\t_\n\n"


@pytest.fixture
def read(write, tmp_path):
    """read(content, name, task, **settings): the checked inputs and targets of one file."""

    def make(content, name, task="text-classification", **settings):
        path = write(name, content if isinstance(content, bytes) else content.encode())
        data = DataSettings(train=name, **settings)
        file = SourceFile(name, path, "0" * 64, path.stat().st_size)
        rows = check([file], TASKS[task], read_roles(data, TASKS[task].forms), data, tmp_path / "rows.arrow").data
        return rows.inputs(), rows.targets()

    return make


@pytest.fixture
def told(read):
    """told(content, name, task): the sentence about a file."""

    def make(*arguments, **settings):
        with pytest.raises((DataError, SettingsError)) as caught:
            read(*arguments, **settings)
        return str(caught.value)

    return make


@pytest.fixture
def followed(read):
    """followed(kind, content, name, task): the rows, which the format in the error reads where there is an error."""

    def make(kind, content, name, task="text-classification"):
        try:
            return read(content, name, task)
        except DataError as error:
            said = str(error)
        assert settings_in(said) == {"format": kind}, said
        return read(content, name, task, format=kind)

    return make


def settings_in(said):
    """The settings that a sentence tells to add."""
    found = {}
    for line in re.findall(r"`([a-z]+: [^`]+)`", said):
        found |= yaml.safe_load(line)
    return found


def turned(said, content, tmp_path):
    """The content after the command in the sentence."""
    if not shutil.which("jq"):
        pytest.skip("there is no jq")
    (tmp_path / "old").write_text(content)
    command = re.search(r"`(\(|jq)([^`]*)`", said)
    line = (command[1] + command[2]).replace("OLD", shlex.quote(str(tmp_path / "old")))
    line, _, name = line.partition("> NEW")
    return subprocess.run(["bash", "-c", line], capture_output=True, check=True, text=True).stdout, "new" + name


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


NAMES = ["a.csv", "a.tsv", "a.txt", "a.json", "a.jsonl", "a.conll", "a.squad", "a.data", "a"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (json.dumps(ROWS), "json"),
        ("\ufeff\n" + json.dumps(ROWS, indent=2), "json"),
        (lines(ROWS), "jsonl"),
        (lines(ROWS[:1]), "jsonl"),
        (lines([{"meta": {"x": [1]}, **row} for row in ROWS]), "jsonl"),
        ('text,label\n"so, good",a\nbad: very,b\n', "csv"),
        ("# title\nn;text;label\n1;so, good;a\n2;bad: very;b\n", "csv"),
        ("text\tlabel\nso, good\ta\nbad: very\tb\n", "tsv"),
        ("label\ttext\tx\na\tso, good\t1\nb\tbad: very\t2\n", "tsv"),
    ],
)
def test_rows_under_any_name_are_read_or_told_with_the_format_that_reads_them(followed, content, kind, name):
    found = followed(kind, content, name)
    size = len(TARGETS) if content != lines(ROWS[:1]) else 1
    assert found == (INPUTS[:size], TARGETS[:size])


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.json", "a.jsonl", "a.squad", "a"])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("document", [SQUAD_2, {"data": [ARTICLE]}, {"a": [1, 2], "b": {"c": 1}, **SQUAD_2}])
def test_questions_as_squad_has_them_are_told_wherever_their_list_stands(followed, name, indent, document):
    inputs, _ = followed("squad", json.dumps(document, indent=indent), name, "question-answering")
    assert inputs == [("q", "a b")]


def test_a_long_file_of_questions_is_told_before_its_end_is_read(told):
    document = {"version": "v2.0", "data": [ARTICLE] * 300_000}
    assert settings_in(told(json.dumps(document), "a.json", "question-answering")) == {"format": "squad"}


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.json", "a.jsonl", "a.train", "a"])
@pytest.mark.parametrize("between", [" ", "\t", " NNP X ", "   "])
def test_words_with_tags_are_told_by_their_columns(followed, name, between):
    inputs, _ = followed("conll", CONLL.replace(" ", between), name, "token-classification")
    assert [tuple(words) for words in inputs] == SENTENCES


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.json", "a.jsonl"])
def test_ten_columns_are_conllu(told, name):
    assert settings_in(told(UNIVERSAL, name, "token-classification")) == {"format": "conllu"}


def test_what_an_unknown_ending_hides_is_read_and_said(read, capsys):
    assert read("label|text\na|x\n", "a.data") == (["x"], [["a"]])
    assert "a.data: read as a table, as its content shows (data.format: csv)" in capsys.readouterr().out


def test_tags_that_are_no_entities_are_told_by_the_task(told):
    content = "The DET\ndog NOUN\n\nIt PRON\nruns VERB\n"
    assert settings_in(told(content, "a.txt", "token-classification")) == {"format": "conll"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lines([list(row.values()) for row in ROWS]), "JSON arrays, one a line, not objects; name their values: "),
        (json.dumps([list(row.values()) for row in ROWS]), "a JSON array of arrays; name their values: "),
        ("".join(json.dumps(row, indent=1) + "\n" for row in ROWS), "JSON objects that do not stand one a line; "),
        ("".join(json.dumps(row) for row in ROWS), "JSON objects that do not stand one a line; "),
        (json.dumps(ROWS)[1:-1].replace("}, {", "},\n{"), "JSON objects with commas between them; "),
        (json.dumps({"train": ROWS, "test": ROWS}), "one JSON object whose key 'train' holds a list; "),
        (json.dumps({"v": 1, "rows": ROWS}, indent=1), "one JSON object whose key 'rows' holds a list; "),
        (
            json.dumps({"train": [list(row.values()) for row in ROWS]}),
            "one JSON object whose key 'train' holds a list; ",
        ),
        (json.dumps(dict(enumerate(ROWS))), "one JSON object that holds a row under each key; "),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.txt", "a.dat"])
def test_json_of_another_shape_is_told_with_the_command_that_turns_it(read, told, tmp_path, name, content, said):
    sentence = told(content, name)
    assert sentence.startswith(f"{name} is {said}")
    assert read(*turned(sentence, content, tmp_path)) == (INPUTS, TARGETS)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "value",
    [
        {"columns": ["text", "label"], "index": [0], "data": [["x", "a"]]},
        {"text": {"0": "x"}, "label": {"0": "a"}},
        {"text": ["x"], "label": ["a"]},
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv"])
def test_tables_that_pandas_wrote_sideways_are_told(read, told, name, value, indent):
    said = told(json.dumps(value, indent=indent), name)
    assert said.endswith("; write it with pandas' to_json(orient='records')")
    # What pandas writes then.
    assert read('[{"text":"x","label":"a"}]', "b.json") == (["x"], [["a"]])


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.jsonl", "a.bin"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "<!DOCTYPE html><html><body>x</body></html>",
            "a web page (HTML); download the file itself, not the page that ",
        ),
        ("\n<HTML>\n<p>x, y\n</HTML>\n", "a web page (HTML); "),
        ("<?xml version='1.0'?><Error><Code>x</Code></Error>", "XML, which is not read; write its rows as CSV, JSON"),
        ("<rows>\n<row label='a'>x</row>\n</rows>\n", "XML"),
        ("{'text': 'x', 'label': 'a'}\n{'text': 'y', 'label': 'b'}\n", "Python's notation, not JSON; "),
    ],
)
def test_other_texts_are_told(told, name, content, said):
    assert told(content, name).startswith(f"{name} is {said}".replace("XML,", "XML;"))


def test_one_object_with_other_keys_is_told_with_them(told):
    assert told('{"id": 1,\n"note": "x"}', "a.json") == (
        "a.json is one JSON object with the keys 'id', 'note'; expected objects, such as {\"text\": ..., "
        '"label": ...}, in an array or one a line'
    )


@pytest.mark.parametrize("delimiter", ["@", ";", "|", "\t", "^", "~", ":"])
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.json", "a.data"])
def test_a_table_without_the_columns_is_told_with_all_that_reads_it(read, told, name, delimiter):
    content = f"good, 'fine'{delimiter}a\nbad, awful, sad{delimiter}b\nso{delimiter}a\n"
    settings = settings_in(told(content, name))
    assert settings["delimiter"] == delimiter
    if name == "a.csv":
        settings["format"] = "csv"
    assert settings == {"format": "csv", "delimiter": delimiter, "header": False, "columns": {"text": 0, "label": 1}}
    assert read(content, name, **settings) == (["good, 'fine'", "bad, awful, sad", "so"], [["a"], ["b"], ["a"]])


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "conll", "squad", "text", "fasttext"])
def test_what_is_looked_at_is_bounded(told, kind):
    for content in ("[" * 200_000, "{" * 200_000, '{"a":' * 200_000, "<" * 200_000, "a b\n" * 3 + "x" * 5_000_000):
        assert told(content, "a.x", format=kind).startswith("a.x")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "a.conll"])
@pytest.mark.parametrize("columns", [{}, {"labels": "labels"}])
def test_lines_of_fasttext_are_told_under_any_name(told, read, columns, name, capsys):
    content = "".join(f"__label__{row['label']} {row['text']}\n" for row in ROWS)
    if name.endswith((".csv", ".tsv", ".txt", ".json", ".jsonl")):
        assert told(content, name, columns=columns) == (
            f"{name} is lines of fastText, each with __label__ before its labels; add `format: fasttext` under data:"
        )
    else:
        assert read(content, name, columns=columns) == (INPUTS, TARGETS)
        assert "read as lines of fastText" in capsys.readouterr().out
    assert read(content, name, columns=columns, format="fasttext") == (INPUTS, TARGETS)


def test_several_labels_of_a_line_of_fasttext_need_the_role_labels(told, read):
    content = "__label__a __label__b good\n__label__a bad\n"
    said = told(content, "a.txt", format="fasttext")
    assert "column 'label' is a list where one label belongs; give the column the role labels" in said
    assert read(content, "a.txt", format="fasttext", columns={"labels": "labels"})[1] == [["a", "b"], ["a"]]
