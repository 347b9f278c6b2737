"""Rows checked: every fault with file, line and column, counted, told at once."""

import gzip
import json
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunewright.job.data.check import check
from tunewright.job.data.columns import Form, Roles, read_roles
from tunewright.job.data.sources.cache import SourceFile
from tunewright.job.errors import DataError, SettingsError
from tunewright.job.kinds.texts import Texts
from tunewright.job.settings.data import DataSettings
from tunewright.job.tasks import TASKS

CLASSIFY = TASKS["text-classification"]
REGRESS = TASKS["text-regression"]


@pytest.fixture
def read(write, tmp_path):
    """read(content, columns, ...): the checked rows of one file."""

    def make(content, columns=None, *, name="a.csv", task=CLASSIFY, labels=None, kept=(), **settings):
        path = write(name, content if isinstance(content, bytes) else content.encode())
        data = DataSettings(train=name, columns=columns or {}, **settings)
        file = SourceFile(name, path, "0" * 64, path.stat().st_size)
        roles, path = read_roles(data, task.forms), tmp_path / "rows.arrow"
        return check([file], task, roles, data, path, labels=labels, kept=kept)

    return make


@pytest.fixture
def faults(read):
    """The sentences about what cannot be used."""

    def make(*arguments, **settings):
        with pytest.raises((DataError, SettingsError)) as caught:
            read(*arguments, **settings)
        return str(caught.value).splitlines()

    return make


def test_texts_are_cleaned_and_labels_named(read):
    checked = read("text,label\n cafe\u0301  \tla\x07 ,0\n", label_names={"0": "bad"})
    assert checked.data.inputs() == ["café la"]
    assert checked.data.targets() == [["bad"]]


def test_columns_are_kept_for_the_report(read, faults, tmp_path):
    table = "language,text,label,stars\nen,x,a,5\n,y,b,4\n de \t at ,z,a,nan\n"
    checked = read(table, kept=("stars", "language"))
    assert checked.data.kept() == [["5", "en"], ["4", ""], ["nan", "de at"]]
    assert checked.data.select([2, 0]).kept() == [["nan", "de at"], ["5", "en"]]
    rows = [
        {"text": "x", "label": "a", "stars": 5, "language": None},
        {"text": "y", "label": "b", "stars": float("nan"), "language": "x" * 99},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "kept.parquet")
    content = (tmp_path / "kept.parquet").read_bytes()
    assert read(content, name="b.parquet", kept=("stars", "language")).data.kept() == [
        ["5.0", ""],
        ["", "x" * 59 + "…"],
    ]
    assert faults(table, kept=("country",)) == [
        "a.csv, line 2: has no column 'country'; the columns are 'language', 'text', 'label', 'stars'; report.slices "
        "names it (2 more rows share this fault)"
    ]


def test_pairs_multi_labels_and_scores_are_read(read):
    pair = {"text": "a", "text_pair": "b", "label": "c"}
    assert read("a,b,c\nx,y,z\n", pair).data.inputs() == [("x", "y")]
    several = read("text,tags\nx,b;a;b\ny,\n", {"labels": "tags"}, label_separator=";")
    assert several.data.targets() == [["a", "b"], []]
    assert read("text,score\nx,-1.5e1\n", task=REGRESS).data.targets() == [-15.0]


def test_parquet_and_json_keep_their_types(read, tmp_path):
    table = pa.table({"text": ["x", "y"], "labels": [["a", "b"], []]})
    pq.write_table(table, tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    assert read(data, {"labels": "labels"}, name="b.parquet").data.targets() == [["a", "b"], []]
    rows = json.dumps([{"text": "x", "label": 1}, {"text": "y", "label": 0}])
    assert read(rows, name="a.json").data.targets() == [["1"], ["0"]]


def test_equal_texts_have_equal_keys_whatever_their_case(read):
    keys = read("text,label\nFine,a\n fine ,b\nother,a\n").keys
    assert keys[0] == keys[1] != keys[2]


def test_the_two_texts_of_a_pair_do_not_run_together(read):
    keys = read("text,text_pair,label\nab,c,x\na,bc,x\n", {"text_pair": "text_pair"}).keys
    assert keys[0] != keys[1]


def test_every_kind_of_fault_is_told_at_once_with_its_count(faults):
    said = faults("text,label\n,a\n ,b\nx,\nx,y,z\n<br>,c\n\t,a\n")
    assert said == [
        "a.csv, line 2: column 'text' is empty; fill it, remove the row or set data.drop_empty "
        "(2 more rows share this fault)",
        "a.csv, line 4: value '': column 'label' is empty where a label belongs",
        "a.csv, line 5: has 3 values where there are 2 columns (text, label)",
    ]


def test_a_column_that_is_not_there_is_told_with_those_that_are(faults):
    assert faults("sentence,stars\nx,1\ny,2\n", {"label": "stars"}) == [
        "a.csv, line 2: has no column 'text'; the columns are 'sentence', 'stars'; set data.columns, or "
        "data.header to false where the first line is data already "
        "(1 more row shares this fault)"
    ]
    assert faults("x,1\n", {"text": 0, "label": 5}, header=False) == [
        "a.csv, line 1: has no column '5'; the columns are '0', '1'; set data.columns"
    ]


def test_files_with_a_header_alone_are_counted(write, tmp_path, capsys):
    contents = {"a.csv": b"text,label\nx,a\n", "b.csv": b"text,label\n", "c.csv": b"text,label\r\n\r\n"}
    files = [SourceFile(name, write(name, data), "0" * 64, len(data)) for name, data in contents.items()]
    data = DataSettings(train="*.csv")
    assert len(check(files, CLASSIFY, read_roles(data, CLASSIFY.forms), data, tmp_path / "rows").data) == 1
    assert "2 files have no rows (b.csv, c.csv)" in capsys.readouterr().out


def test_empty_texts_can_be_left_out(read):
    rows = json.dumps([{"text": " ", "label": "a"}, {"text": None, "label": "a"}, {"text": "x", "label": "a"}])
    checked = read(rows, name="a.json", drop_empty=True)
    assert (checked.data.inputs(), checked.dropped) == (["x"], 2)


def test_each_empty_text_of_a_pair_is_told_and_the_row_left_out_once(faults, read):
    pair = {"text": "text", "text_pair": "other"}
    assert [line.split(";")[0] for line in faults("text,other,label\n, ,a\n", pair)] == [
        "a.csv, line 2: column 'text' is empty",
        "a.csv, line 2: column 'other' is empty",
    ]
    checked = read("text,other,label\n, ,a\nx,y,a\n", pair, drop_empty=True)
    assert (checked.data.inputs(), checked.dropped) == ([("x", "y")], 1)


def test_an_empty_file_is_told(faults):
    assert faults("") == ["a.csv: no rows"]
    assert faults("text,label\n") == ["a.csv: no rows"]
    assert faults("text,label\n,a\n", drop_empty=True) == ["a.csv: no rows besides 1 without text"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": 5, "label": "a"}, "value 5: column 'text' is int, not text"),
        (
            {"text": None, "label": "a"},
            "column 'text' is empty; fill it, remove the row or set data.drop_empty",
        ),
        ({"text": "x", "label": 1.5}, "value 1.5: column 'label' is not a label (text or a whole number)"),
        ({"text": "x", "label": None}, "value None: column 'label' is empty where a label belongs"),
        (
            {"text": "x", "label": 1.0},
            "value 1.0: column 'label' is not a label (text or a whole number): a missing value turns whole numbers of "
            'pandas into decimals; write the column with astype("Int64"), or as text',
        ),
        ({"text": "x"}, "has no column 'label'; the columns are 'text'; set data.columns"),
        ("x", "is a JSON str, not an object of columns"),
        ({}, "has no column 'text'; the columns are none; set data.columns"),
    ],
)
def test_a_value_of_the_wrong_kind_is_shown(faults, row, said):
    assert faults(json.dumps(row), name="a.jsonl")[0] == f"a.jsonl, line 1: {said}"


def test_half_a_character_is_replaced_in_texts_and_labels(read):
    checked = read('{"text": "a\\ud800", "label": "b\\udfff"}', name="a.jsonl")
    assert (checked.data.inputs(), checked.data.targets()) == (["a\ufffd"], [["b\ufffd"]])
    checked = read(json.dumps({"text": "x", "tags": ["a", "\ud800"]}), {"labels": "tags"}, name="a.jsonl")
    assert checked.data.targets() == [["a", "\ufffd"]]


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ('"4,5"', "value '4,5': column 'score' is not a number (use a point for decimals, nothing for thousands)"),
        ("nan", "value 'nan': column 'score' is not a finite number"),
        ("", "value '': column 'score' is not a number (use a point for decimals, nothing for thousands)"),
    ],
)
def test_a_score_that_is_none_is_shown(faults, score, said):
    assert faults(f"text,score\nx,{score}\n", task=REGRESS) == [f"a.csv, line 2: {said}"]


def test_a_score_beyond_all_numbers_is_a_fault_of_its_row(faults):
    (said,) = faults('{"text": "x", "score": 1' + "0" * 400 + "}", name="a.jsonl", task=REGRESS)
    assert said.startswith("a.jsonl, line 1: value 1000")
    assert said.endswith("...: column 'score' is too large a number; the largest is about 1.8e308")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("score", "{}", "is not a finite number"),
        ("label", "{}", "is not a label (text or a whole number)"),
        ("labels", "[{}]", "is not a label (text or a whole number)"),
        ("text", "{}", "is int, not text"),
    ],
)
def test_a_number_of_more_digits_than_can_be_read_is_a_fault_of_its_row_and_column(faults, name, column, value, what):
    row = {"text": '"x"', "label": '"a"', column: value.format("-" + "9" * 5000)}
    task = REGRESS if column == "score" else CLASSIFY
    content = "{" + ",".join(f'"{key}":{text}' for key, text in row.items()) + "}"
    columns = {column: column} if column != "text" else {}
    (said,) = faults(f"[{content}]" if name == "a.json" else content, columns, name=name, task=task)
    shown = value.format("(a whole number of 5,000 digits)")
    place = "row 1" if name == "a.json" else "line 1"
    assert said == f"{name}, {place}: value {shown}: column {column!r} {what}"


def test_a_number_that_nobody_uses_may_have_any_length(read):
    row = '{"text": "x", "label": "a", "id": [' + "9" * 5000 + "]}"
    assert read(row, name="a.jsonl").data.targets() == read(f"[{row}]", name="a.json").data.targets() == [["a"]]


def test_labels_of_two_kinds_are_not_mixed(faults):
    rows = '{"text": "x", "label": 1}\n{"text": "y", "label": "1"}\n{"text": "z", "label": "2"}\n'
    assert faults(rows, name="a.jsonl") == [
        "a.jsonl, line 2: column 'label' is str here but int in a.jsonl, line 1; write all labels alike "
        "(1 more row shares this fault)"
    ]


def test_a_label_that_no_training_row_has_is_named(faults):
    assert faults("text,label\nx,a\ny,neutral\nz,neutral\n", labels=["a", "b"]) == [
        "a.csv, line 3: value 'neutral': column 'label' holds a label that no row of data.train has; "
        "the training labels are a, b; correct it, or set data.unknown_labels (1 more row shares this fault)"
    ]


def test_a_label_without_a_name_is_refused(faults):
    assert faults("text,label\nx,2\n", label_names={"0": "bad", "1": "good"}) == [
        "a.csv, line 2: value '2': column 'label' is not among data.label_names (0, 1)"
    ]


@pytest.mark.parametrize(
    ("columns", "settings", "said"),
    [
        (
            {"txt": "a"},
            {},
            "data.columns has a role 'txt'; this task knows text, text_pair, label, labels",
        ),
        ({"label": "a", "labels": "b"}, {}, "data.columns sets label and labels; choose one"),
        (
            {"text": "a"},
            {"header": False},
            "data.header is false, so data.columns must give positions from 0, such as {text: 0, label: 1}; "
            "the columns are a, label",
        ),
        ({"text": "label"}, {}, "data.columns gives two roles to the column 'label'; each role needs its own"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(faults, columns, settings, said):
    assert faults("text,label\nx,a\n", columns, **settings) == [said]


class Chats(Texts):
    """Several sets of columns, one of them without a target."""

    def forms(self, targets):
        return (
            Form(("text",), ("system",), "label"),
            Form(("prompt", "response"), ("system",), "score"),
            Form(("messages",)),
        )


CHATS = replace(CLASSIFY, columns=Chats())


def roles_of(columns, task=CLASSIFY, **settings):
    return read_roles(DataSettings(train="x", columns=columns, **settings), task.forms)


def test_the_columns_that_are_named_choose_the_set():
    assert roles_of({}) == Roles({"text": "text"}, "label", "label")
    assert roles_of({"labels": "tags"}) == Roles({"text": "text"}, "tags", "labels")
    assert roles_of({}, CHATS) == Roles({"text": "text"}, "label", "label")
    assert roles_of({"score": "stars"}, CHATS) == Roles({"prompt": "prompt", "response": "response"}, "stars", "score")
    assert roles_of({"messages": "turns"}, CHATS) == Roles({"messages": "turns"}, "", "")


def test_an_optional_column_is_read_where_it_is_named_after_those_that_must_be_there():
    roles = roles_of({"text_pair": "b", "text": "a"})
    assert list(roles.inputs.items()) == [("text", "a"), ("text_pair", "b")]
    # Of two sets that have it the first one is taken.
    assert roles_of({"system": "rules"}, CHATS) == Roles({"text": "text", "system": "rules"}, "label", "label")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"txt": "a"},
            "data.columns has a role 'txt'; this task knows text, system, label, prompt, response, score, messages",
        ),
        (
            {"text": "a", "response": "b"},
            "data.columns sets text, response, which do not belong together; the sets are: text, system, label; "
            "prompt, response, system, score; messages",
        ),
        ({"text": "a", "label": "b", "score": "c"}, "data.columns sets label and score; choose one"),
    ],
)
def test_columns_that_belong_to_no_set_are_refused_with_the_sets(columns, said):
    with pytest.raises(SettingsError) as caught:
        roles_of(columns, CHATS)
    assert str(caught.value) == said


def test_positions_are_asked_for_by_the_roles_of_the_set():
    with pytest.raises(SettingsError) as caught:
        roles_of({"messages": "turns"}, CHATS, header=False)
    assert str(caught.value) == (
        "data.header is false, so data.columns must give positions from 0, such as {messages: 0}; the columns are turns"
    )


@pytest.mark.parametrize("written", ["cafe\u0301", "caf\u00e9\u200b", "caf\u00e9\u00a0", "caf\u00e9"])
@pytest.mark.parametrize("key", ["cafe\u0301", "caf\u00e9"])
def test_labels_that_look_the_same_are_one_and_found_by_their_name(read, written, key):
    rows = f"text,label\nx,{written}\ny,bar\n"
    assert read(rows).data.targets() == [["caf\u00e9"], ["bar"]]
    assert read(rows, label_names={key: "cof\u200bfee", "bar": "bar"}).data.targets() == [["coffee"], ["bar"]]


def test_folded_labels_are_told_once_with_an_example(read, capsys):
    read("text,label\nx,New  York\ny,New\u00a0York\nz, New York \n")
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "nobody sees" in line]
    assert "are made one: 2 rows; 'New  York' is read as 'New York'" in said


def test_names_that_look_the_same_must_say_the_same():
    with pytest.raises(ValueError, match="names 'caf\u00e9' twice, in two ways that look the same"):
        DataSettings(train="x", label_names={"caf\u00e9": "a", "cafe\u0301": "b"})


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("a.csv", "text,label\n,\nx,a\n ,\n,\u200b\n"),
        (
            "a.jsonl",
            '{"text": null, "label": null}\n{"text": "x", "label": "a"}\n{"text": ""}\n{"text": " ", "label": 5}\n',
        ),
        (
            "a.json",
            '[{"text": "", "label": ""}, {"text": "x", "label": "a"}, {"text": null, "label": 1.5}, {"text": " "}]',
        ),
    ],
)
def test_a_row_without_a_text_is_left_out_whatever_its_label_is(read, name, rows):
    checked = read(rows, name=name, drop_empty=True)
    assert (checked.data.inputs(), checked.data.targets(), checked.dropped) == (["x"], [["a"]], 3)


def test_a_row_without_a_text_is_left_out_whatever_its_score_is(read):
    checked = read("text,score\n,\nx,1\n,none\n", drop_empty=True, task=REGRESS)
    assert (checked.data.targets(), checked.dropped) == ([1.0], 2)


@pytest.mark.parametrize("text", ["\u200b", "\ufeff\u2060", "\u00ad \u00ad", "\u3164"])
def test_a_text_of_invisible_characters_is_empty(faults, read, text):
    assert faults(f"text,label\nx,a\n{text},b\n") == [
        "a.csv, line 3: column 'text' is empty; fill it, remove the row or set data.drop_empty"
    ]
    assert read(f"text,label\nx,a\n{text},b\n", drop_empty=True).dropped == 1


def test_rows_with_labels_to_skip_are_left_out_and_counted(read):
    checked = read("text,label\nx,a\ny,-\nz,b\nw,\n", skip_labels=["-", ""])
    assert checked.data.targets() == [["a"], ["b"]]
    assert (checked.dropped, checked.left_out) == (0, {"with a label of data.skip_labels": 2})
    names = {"0": "bad", "1": "good"}
    assert read("text,label\nx,0\ny,2\nz,1\n", label_names=names, skip_labels=["2"]).data.targets() == [
        ["bad"],
        ["good"],
    ]
    assert read("text,label\nx,0\nz,1\n", label_names=names, skip_labels=["bad"]).data.targets() == [["good"]]
    assert read(
        "text,tags\nx,a;n/a\nz,b\n", {"labels": "tags"}, label_separator=";", skip_labels=["n/a"]
    ).data.targets() == [["b"]]


def test_labels_that_training_lacks_are_left_out_or_kept_as_asked(read, capsys):
    asked = {"labels": ["a", "b"], "validation": "x"}
    rows = "text,label\nx,a\ny,c\nz,d\n"
    checked = read(rows, unknown_labels="leave_out", **asked)
    assert checked.data.targets() == [["a"]]
    assert checked.left_out == {"with a label that no row of data.train has": 2}
    assert read(rows, unknown_labels="wrong", **asked).data.targets() == [["a"], ["c"], ["d"]]
    assert "a label that no row of data.train has, counted as wrong: 2 rows; 'c'" in capsys.readouterr().out


def test_many_unknown_labels_are_one_kind_of_fault(faults):
    rows = "".join(f"x,l{number}\n" for number in range(30))
    (said,) = faults(f"text,label\n{rows}", labels=["a", "b"])
    assert said.endswith(
        "(29 more rows share this fault, with 'l1', 'l2', 'l3', 'l4', 'l5', 'l6', 'l7', 'l8', 'l9', 'l10', ...)"
    )


def test_decimals_of_parquet_are_scores(read, tmp_path):
    table = pa.table({"text": ["x", "y"], "score": pa.array([Decimal("1.50"), Decimal("2")], pa.decimal128(10, 2))})
    pq.write_table(table, tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    assert read(data, name="b.parquet", task=REGRESS).data.targets() == [1.5, 2.0]


HALF = "\ud83d"
HALVES = [
    ("text-classification", {"text": HALF, "label": HALF}),
    ("text-classification", {"text": "x", "label": "\udc00"}),
    ("text-regression", {"text": f"a{HALF}", "score": 1}),
    ("token-classification", {"tokens": [f"a{HALF}"], "tags": [f"B-{HALF}"]}),
    (
        "question-answering",
        {"question": f"q{HALF}", "context": f"so {HALF}", "answers": {"text": [HALF], "answer_start": [3]}},
    ),
    (
        "question-answering",
        {"question": "q", "context": f"so {HALF}", "answers": json.dumps([{"text": HALF, "answer_start": 3}])},
    ),
    ("text-generation", {"text": HALF}),
    ("text-generation", {"prompt": HALF, "response": HALF}),
    ("text-generation", {"messages": [{"role": "user", "content": HALF}, {"role": "assistant", "content": HALF}]}),
    (
        "text-generation",
        {"messages": json.dumps([{"role": "user", "content": HALF}, {"role": "assistant", "content": HALF}])},
    ),
    ("translation", {"source": HALF, "target": HALF}),
    ("masked-language-modelling", {"text": HALF}),
    ("feature-extraction", {"text": HALF, "text_pair": HALF, "score": 1}),
]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize(("task", "row"), HALVES)
def test_half_a_character_is_replaced_in_every_task_and_format(read, task, row, name):
    written = json.dumps([row] if name == "a.json" else row).encode()
    columns = {role: role for role in row}
    checked = read(gzip.compress(written) if name.endswith(".gz") else written, columns, name=name, task=TASKS[task])
    found = str((checked.data.inputs(), list(checked.data.targets())))
    assert "\ufffd" in found
    if task == "question-answering":
        assert checked.data.targets() == [{"text": ["\ufffd"], "start": [3]}]


def test_half_a_character_in_squad_is_replaced(read):
    question = {"id": "1", "question": HALF, "answers": [{"text": HALF, "answer_start": 2}]}
    rows = json.dumps({"data": [{"paragraphs": [{"context": f"a {HALF} b", "qas": [question]}]}]})
    checked = read(rows, name="a.json", format="squad", task=TASKS["question-answering"])
    assert checked.data.inputs() == [("\ufffd", "a \ufffd b")]
    assert checked.data.targets() == [{"text": ["\ufffd"], "start": [2]}]


@pytest.mark.parametrize(
    ("name", "task", "content", "advice"),
    [
        ("a.txt", "text-classification", "good film\tpos\n", "add `format: csv` under data: where it is a table"),
        ("a.tsv", "token-classification", "EU\tB-ORG\nrejects\tO\n", "add `format: conll` under data:"),
        ("a.txt", "token-classification", "EU B-ORG\n", "add `format: conll` under data:"),
        ("a.json", "question-answering", "[{}]", "add `format: squad` under data:"),
    ],
)
def test_the_format_that_fits_is_named(faults, name, task, content, advice):
    assert advice in faults(content, name=name, task=TASKS[task])[0]


@pytest.fixture
def hub_parquet(tmp_path):
    """hub_parquet({"label": [...]}): the bytes of a file whose every number is a class, bad or good."""

    def make(columns):
        named = {"names": ["bad", "good"], "_type": "ClassLabel"}
        about = {"huggingface": json.dumps({"info": {"features": dict.fromkeys(columns, named)}})}
        pq.write_table(pa.table(columns).replace_schema_metadata(about), tmp_path / "hub.parquet")
        return (tmp_path / "hub.parquet").read_bytes()

    return make


def test_names_of_a_file_are_taken_and_may_be_renamed(read, hub_parquet):
    data = hub_parquet({"text": ["x", "y"], "label": [1, 0]})
    assert read(data, name="b.parquet").data.targets() == [["good"], ["bad"]]
    for names in ({"0": "no", "1": "yes"}, {"bad": "no", "good": "yes"}):
        assert read(data, name="b.parquet", label_names=names).data.targets() == [["yes"], ["no"]]
    assert read(data, name="b.parquet", skip_labels=["bad"]).data.targets() == [["good"]]


def test_names_of_columns_that_nobody_uses_do_not_matter(read, hub_parquet, capsys):
    data = hub_parquet({"text": ["x", "y"], "label": [1, -1], "other": [7, 7]})
    assert read(data, name="b.parquet", skip_labels=[""]).data.targets() == [["good"]]
    assert "'other'" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "empty"),
    [
        ("token-classification", {"tokens": None, "tags": None}),
        ("token-classification", {"tokens": ["\u200b"], "tags": []}),
        ("question-answering", {"question": "q", "context": " ", "answers": None}),
        ("text-generation", {"text": "\u2060"}),
        ("text-generation", {"prompt": None, "response": 5}),
        ("text-generation", {"messages": []}),
        ("text-generation", {"messages": None}),
        ("translation", {"source": "", "target": None}),
        ("feature-extraction", {"text": "", "text_pair": "x", "score": "high"}),
        ("masked-language-modelling", {"text": None}),
        ("masked-language-modelling", {"text": float("nan")}),
    ],
)
def test_a_row_without_an_input_is_left_out_in_every_task(read, faults, task, empty):
    columns = {role: role for role in empty}
    rows = json.dumps(empty)
    assert faults(rows, columns, name="a.jsonl", task=TASKS[task], drop_empty=True) == [
        "a.jsonl: no rows besides 1 without text"
    ]
    assert any(
        " is empty; fill it, remove the row" in said for said in faults(rows, columns, name="a.jsonl", task=TASKS[task])
    )


@pytest.mark.parametrize(
    "content", ["text,label\nx,1\ny,0\n", '{"text": "x", "label": 1}\n{"text": "y", "label": 0}\n']
)
def test_numbers_beside_named_classes_are_told_with_their_names(write, tmp_path, content):
    name = "v.csv" if content[0] == "t" else "v.jsonl"
    path, data = write(name, content.encode()), DataSettings(train=name)
    file, roles = SourceFile(name, path, "0" * 64, 1), read_roles(data, CLASSIFY.forms)
    with pytest.raises(DataError) as caught:
        check([file], CLASSIFY, roles, data, tmp_path / "rows", labels=["bad", "good"], classes=("bad", "good"))
    told = "the training labels are bad, good; the file of data.train names its classes and this file does not"
    assert f"{told}; {NAMED} (1 more row shares" in str(caught.value)


NAMED = 'add `label_names: {"0": "bad", "1": "good"}` under data:'


def test_named_classes_beside_numbers_are_told_with_their_numbers(faults, hub_parquet):
    data = hub_parquet({"text": ["x", "y"], "label": [1, 0]})
    (said,) = faults(data, name="b.parquet", labels=["0", "1"])
    assert f"; this file names its classes and the file of data.train does not; {NAMED}" in said
    (said,) = faults(data, name="b.parquet", labels=["a", "b"])
    assert "; the training labels are a, b; correct it, or set data.unknown_labels" in said


@pytest.mark.parametrize("names", [["a.parquet", "b.csv"], ["b.csv", "a.parquet"]])
def test_training_files_with_and_without_names_are_not_mixed(write, tmp_path, hub_parquet, names):
    contents = {"a.parquet": hub_parquet({"text": ["x"], "label": [1]}), "b.csv": b"text,label\ny,0\nz,good\n"}
    files = [SourceFile(name, write(name, contents[name]), "0" * 64, 1) for name in names]

    def read(**settings):
        data = DataSettings(train="*", **settings)
        return check(files, CLASSIFY, read_roles(data, CLASSIFY.forms), data, tmp_path / "rows")

    with pytest.raises(DataError) as caught:
        read()
    what = "column 'label' holds a number where another file of data.train names its classes"
    assert str(caught.value) == f"b.csv, line 2: value '0': {what}; {NAMED}"
    assert len(read(label_names={"0": "bad", "1": "good", "good": "good"}).data) == 3


def test_numbers_beside_names_that_no_file_numbers_are_told_apart(faults):
    (said,) = faults("text,label\nx,7\n", labels=["bad", "good"])
    assert said.endswith("say in data.label_names which of them the numbers stand for, or set data.unknown_labels")


@pytest.mark.parametrize("rows", ["null\n", "[]\n", '""\n', "{}\n"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_rows_of_json_that_hold_nothing_are_left_out_as_empty_ones(read, name, rows):
    row = json.dumps({"text": "x", "label": "a"})
    checked = read(f"[{row},{rows}]" if name == "a.json" else rows + row, name=name, drop_empty=True)
    assert (len(checked.data), checked.dropped) == (1, 1)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("text-classification", {"text": "x", "label": "a"}),
        ("text-regression", {"text": "x", "score": 1}),
        ("token-classification", {"tokens": ["x"], "tags": ["O"]}),
        ("question-answering", {"question": "q", "context": "c", "answers": {"text": [], "answer_start": []}}),
        ("text-generation", {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}),
        ("translation", {"source": "x", "target": "y"}),
        ("masked-language-modelling", {"text": "x"}),
    ],
)
def test_rows_that_lack_the_column_of_an_input_are_left_out_as_empty_ones_are(read, faults, task, row, name):
    def written(rows):
        return json.dumps(rows) if name == "a.json" else "".join(json.dumps(one) + "\n" for one in rows)

    columns, lacking = {role: role for role in row}, [{}, {"id": 1}, {key: row[key] for key in list(row)[1:]}]
    checked = read(written([*lacking, row]), columns, name=name, task=TASKS[task], drop_empty=True)
    assert (len(checked.data), checked.dropped) == (1, 3)
    first = next(iter(row))
    said = faults(written([*lacking, row]), columns, name=name, task=TASKS[task])
    assert any(f"1: has no column {first!r}; the columns are none" in line for line in said)
    # A column that no row has is a name that is not right.
    said = faults(written(lacking), columns, name=name, task=TASKS[task], drop_empty=True)
    assert any(f"1: has no column {first!r}" in line for line in said)


def test_a_file_without_the_column_is_told_beside_others_that_have_it(write, tmp_path):
    contents = {"a.jsonl": b'{"text": "x", "label": "a"}\n', "b.jsonl": b'{"txt": "x", "label": "a"}\n'}
    files = [SourceFile(name, write(name, data), "0" * 64, len(data)) for name, data in contents.items()]
    data = DataSettings(train="*", drop_empty=True)
    with pytest.raises(DataError, match=r"^b.jsonl, line 1: has no column 'text'; the columns are 'txt', 'label'"):
        check(files, CLASSIFY, read_roles(data, CLASSIFY.forms), data, tmp_path / "rows")


def test_a_separator_of_labels_that_the_settings_do_not_name_is_warned_about(read, capsys):
    rows = "".join(f"x{at},{'|'.join(labels)}\n" for at, labels in enumerate(["ab", "bc", "ca", "a", "b"] * 3))
    assert read(f"text,labels\n{rows}", {"labels": "labels"}).data.targets()[0] == ["a|b"]
    said = json.loads(capsys.readouterr().out.splitlines()[-1])["message"]
    assert said.startswith("column 'labels': 9 of 15 rows have a label with '|' in it, such as 'a|b', and its parts")
    assert 'add `label_separator: "|"` under data:' in said
    assert read(f"text,labels\n{rows}", {"labels": "labels"}, label_separator="|").data.targets()[0] == ["a", "b"]
    assert "recur in other labels" not in capsys.readouterr().out
