"""Tables as people have them: headers, columns, rows."""

import pytest

from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.readers.reader import Layout
from tunewright.job.errors import DataError

ONE = [{"text": "a, b", "label": "x"}]


def test_nameless_and_double_columns_that_nobody_uses_are_read(rows):
    assert rows("text,label,,\na,x,1,2\n") == [{"text": "a", "label": "x"}]
    assert rows("note,text,label,note\n1,a,x,2\n") == [{"text": "a", "label": "x"}]


def test_a_used_column_that_is_named_twice_is_refused(rows):
    with pytest.raises(DataError) as caught:
        rows("text,label,text\na,x,b\n")
    assert str(caught.value) == (
        "a.csv: the header names 'text' more than once (text, label, text); rename one of them"
    )


@pytest.mark.parametrize(
    "again", ["text,label", " text , label ", '"text","label"', "Text,LABEL", "\ufefftext,label", "text,label,"]
)
def test_a_header_in_the_middle_is_left_out_and_counted(rows, capsys, again):
    assert len(rows(f"text,label\na,x\n{again}\nb,y\n{again}\n")) == 2
    assert "a.csv: 2 rows repeat the header and are left out" in capsys.readouterr().out


def test_one_repeated_header_is_told_in_the_singular(rows, capsys):
    rows("text,label\na,x\ntext,label\n")
    assert "a.csv: 1 row repeats the header and is left out" in capsys.readouterr().out


def test_a_row_that_only_resembles_the_header_stays(rows):
    assert len(rows("text,label\ntext,x\nb,label\n")) == 2
    assert len(rows("n,text\nn,a\ntext,b\n", "text")) == 2
    assert len(rows("text,label\ntext,label\n", "0", "1", header=False)) == 2


def test_quotes_that_pandas_writes_into_a_tsv_are_pointed_out(rows, capsys):
    content = 'text\tlabel\n"He said ""x"""\ta\nplain\tb\n'
    assert rows(content, name="a.tsv")[0]["text"] == '"He said ""x"""'
    assert "a.tsv: 1 row has a value in double quotes, which are kept as text; set data.quoting to true" in (
        capsys.readouterr().out
    )
    assert rows(content, name="a.tsv", quoting=True)[0]["text"] == 'He said "x"'


def test_too_many_columns_and_too_long_names_are_refused(rows):
    with pytest.raises(DataError) as caught:
        rows("text,label," + ",".join(f"c{number}" for number in range(100_000)) + "\n")
    assert str(caught.value).startswith("a.csv: the first row has 100,002 columns; the limit is 4,096: is this a table")
    with pytest.raises(DataError) as caught:
        rows(f"text,label,{'N' * 5000}\n")
    assert str(caught.value) == (
        "a.csv: the name of column 3 has 5,000 characters; the limit is 1,000: set data.header to false where "
        "the first "
        "line is data already"
    )


@pytest.mark.parametrize(
    "content",
    [
        "| text | label |\n|---|---|\n| a, b | x |\n",
        "# Reviews\n\n| text | label |\n|:-----|------:|\n| a, b | x |\n",
        " text | label \n------+-------\n a, b | x \n",
    ],
)
def test_the_rule_of_a_markdown_table_is_no_row(rows, content):
    assert [{name: value.strip() for name, value in row.items()} for row in rows(content)] == ONE


@pytest.mark.parametrize(
    ("content", "wanted", "again"),
    [
        ("text,label\na,x\nlabel,text\ny,b\n", ("text", "label"), "label, text"),
        ("text,label\na,x\n\ufeffLabel,Text\ny,b\n", ("text", "label"), "label, text"),
        ("text,label\na,x\ntext,label,note\nb,y,1\n", ("text", "label"), "text, label, note"),
        ("id,text,label\n1,a,x\ntext,label\nb,y\n", ("text", "label"), "text, label"),
        ("id,text\n1,a\ntext,id\nb,2\n", ("text",), "text, id"),
    ],
)
def test_a_header_of_other_columns_in_the_middle_is_told_with_its_line(rows, content, wanted, again):
    with pytest.raises(DataError) as caught:
        rows(content, *wanted)
    assert str(caught.value) == (
        f"a.csv, line 3: a second header ({again}) stands among the rows, and its columns are not those of the first "
        f"({content.partition(chr(10))[0].replace(',', ', ')}); divide the file before this line and name both parts"
    )


def test_a_column_that_nobody_uses_may_have_another_name_there(rows, capsys):
    assert len(rows("n,text,label\n1,a,x\nm,text,label\n2,b,y\n")) == 2
    assert "1 row repeats the header" in capsys.readouterr().out


@pytest.mark.parametrize("end", ["", ",", ",,", ", ,\t"])
@pytest.mark.parametrize("head", ["text,label", "text,label,", "text,label,,,", "text,label, ,"])
def test_separators_behind_the_last_column_may_differ_from_line_to_line(rows, head, end):
    assert rows(f'{head}\n"a, b",x{end}\n{",,,"}\n') == [*ONE, {"text": "", "label": ""}]


def test_they_may_without_a_header_and_with_another_separator_too(rows):
    assert rows("a;x;\nb;y\n", "0", "1", header=False) == [{"0": "a", "1": "x", "2": ""}, {"0": "b", "1": "y", "2": ""}]
    assert rows("a;x\nb;y;;\n", "0", "1", header=False) == [{"0": "a", "1": "x"}, {"0": "b", "1": "y"}]
    assert rows("text^label^\na, b^x\n") == ONE


def test_values_that_are_lost_or_have_no_column_are_a_fault(rows):
    said = "has {} values where there are {} columns ({})"
    assert rows("text,label\na,x,y\n") == [said.format(3, 2, "text, label")]
    assert rows("text,label,note\na,x\n") == [said.format(2, 3, "text, label, note")]
    assert rows("text,label,note,\na,x\n") == [said.format(2, 4, "text, label, note, ''")]


@pytest.mark.parametrize(
    ("content", "name", "layout", "hint"),
    [
        ("text,label\na,xtext,label\n", "a.csv", {}, "the beginning of another file follows in the same line"),
        ("text,label\na,x\ufeffb,y\n", "a.csv", {}, "the beginning of another file follows in the same line"),
        ('text,label\n"a, b",x\n', "a.csv", {"quoting": False}, "set data.quoting to true if double quotes enclose"),
        ("text,label\na\\, b,x\n", "a.csv", {}, "a backslash does not keep a separator inside a value"),
        ("text,label\na, b,x\n", "a.csv", {}, ""),
    ],
)
def test_why_a_row_has_too_many_values_is_said_where_it_shows(write, content, name, layout, hint):
    layout = Layout(**{"format": "csv", "wanted": ("text", "label"), **layout})
    (row,) = read_rows(write(name, content.encode()), name, layout)
    assert row.fault == "has 3 values where there are 2 columns (text, label)"
    assert row.hint.startswith(hint)
    assert bool(row.hint) == bool(hint)


def test_a_header_that_the_settings_call_a_row_is_refused(rows):
    with pytest.raises(DataError) as caught:
        rows("id,Text,label\n1,a,x\n", "1", "2", header=False, roles=("text", "label"))
    assert str(caught.value) == (
        "a.csv: the first line is a header (id, Text, label) and data.header is false; remove data.header, and let "
        "data.columns give the names"
    )
    assert len(rows("text,a\nb,label\n", "0", "1", header=False, roles=("text", "label"))) == 2
