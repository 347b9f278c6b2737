"""Headers of tables, and headers among their rows."""

import pytest

from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.readers.reader import Layout
from tunewright.job.errors import DataError


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


@pytest.mark.parametrize(
    ("content", "name", "layout", "hint"),
    [
        ("text,label\na,xtext,label\n", "a.csv", {}, "the beginning of another file follows in the same line"),
        ("text,label\na,x\ufeffb,y\n", "a.csv", {}, "the beginning of another file follows in the same line"),
        ('text,label\n"a, b",x\n', "a.csv", {"quoting": False}, "set data.quoting to true if double quotes enclose"),
        ("text,label\na\\, b,x\n", "a.csv", {}, "a backslash does not keep a separator inside a value"),
        ('text,label\n0,"a",x\n', "a.csv", {}, "where the first value is a number that the header does not name"),
        ("text,label\na, b,x\n", "a.csv", {}, ""),
    ],
)
def test_why_a_row_has_too_many_values_is_said_where_it_shows(write, content, name, layout, hint):
    layout = Layout(**{"format": "csv", "wanted": ("text", "label"), **layout})
    (row,) = read_rows(write(name, content.encode()), name, layout)
    assert row.fault == "has 3 values where there are 2 columns (text, label)"
    assert row.hint.startswith(hint)
    assert bool(row.hint) == bool(hint)


@pytest.mark.parametrize("again", ["sep=;", '"sep=;"', "SEP=;;"])
def test_the_line_of_excel_is_left_out_where_files_were_joined(rows, capsys, again):
    assert len(rows(f"sep=;\ntext;label\na;x\n{again}\ntext;label\nb;y\n")) == 2
    assert "a.csv: 2 rows repeat the header and are left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "line", "shown"),
    [("id,Text,label\n1,a,x\n", 1, "id, Text, label"), ("1,a,x\n2,b,y\nid,text,label\n3,c,x\n", 3, "id, text, label")],
)
def test_a_header_that_the_settings_call_a_row_is_refused(rows, content, line, shown):
    with pytest.raises(DataError) as caught:
        rows(content, "1", "2", header=False, roles=("text", "label"))
    assert str(caught.value) == (
        f"a.csv, line {line} is a header ({shown}) and data.header is false; remove the line, or data.header where it "
        "is the first of the file"
    )
    assert len(rows("text,a\nb,label\n", "0", "1", header=False, roles=("text", "label"))) == 2


@pytest.mark.parametrize("other", [";", "\t", "|"])
def test_a_table_with_another_separator_behind_the_first_is_told(write, other):
    path = write("a.csv", f"text,label\na,x\ntext{other}label\nb{other}y\n".encode())
    (_, row, _) = read_rows(path, "a.csv", Layout("csv", wanted=("text", "label")))
    assert row.fault == "has 1 values where there are 2 columns (text, label)"
    assert (
        row.hint == "a header with another separator begins here; divide the file before this line and name both parts"
    )
