"""Quotes in tables."""

import pytest

from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.readers.reader import Layout
from tunewright.job.errors import DataError


def test_a_quote_fault_names_the_separator_too(rows):
    with pytest.raises(DataError) as caught:
        rows('a;b\n"x";"y"z\n', delimiter=";")
    assert str(caught.value) == (
        "a.csv, line 2: text stands after a closing double quote; double it inside a quoted value, or set "
        "data.quoting to "
        "false where quotes are plain text; ';' is what separates the columns: data.delimiter says so where it "
        "is another"
    )


def test_lines_are_those_of_the_file_behind_a_sep_line(write):
    path = write("a.csv", b"sep=;\ntext;label\na;x\nb;y;z\n")
    found = list(read_rows(path, "a.csv", Layout("csv", wanted=("text", "label"))))
    assert [(row.line, bool(row.fault)) for row in found] == [(3, False), (4, True)]


@pytest.mark.parametrize("before", [0, 1, 100])
@pytest.mark.parametrize(
    ("row", "values"),
    [
        (r'"a \"b\", c",x', ('a "b", c', "x")),
        (r'"\"",x', ('"', "x")),
        (r'"a","x \"y\", z"', ("a", 'x "y", z')),
        (r'a,"\"x"', ("a", '"x')),
        ('"a \\"b\nc\\"\n\nd",x', ('a "b\nc"\n\nd', "x")),
        (r'"C:\\ \"d\" C:\\",x', (r'C:\\ "d" C:\\', "x")),
    ],
)
def test_quotes_with_a_backslash_before_them_are_read(rows, capsys, row, values, before):
    plain = '"so, ""said""",x\n' * before
    found = rows(f'text,label\n{plain}{row}\n"b",y\n{row}\n')
    wanted = dict(zip(("text", "label"), values, strict=True))
    assert found[:before] == [{"text": 'so, "said"', "label": "x"}] * before
    assert found[before:] == [wanted, {"text": "b", "label": "y"}, wanted]
    told = f"a.csv, line {before + 2}: quotes inside values have a backslash before them, and are read so from here on"
    assert capsys.readouterr().out.count(told) == 1


def test_a_fault_behind_such_a_row_is_told_with_its_own_line(write):
    path = write("a.csv", b'text,label\n"a \\"b\\"\n",x\n"c"d,y\n')
    with pytest.raises(DataError, match=r"^a.csv, line 4: text stands after a closing double quote; double it"):
        list(read_rows(path, "a.csv", Layout("csv", wanted=("text", "label"))))


def test_backslashes_in_a_table_of_the_usual_kind_stay(rows, capsys):
    assert rows('text,label\n"C:\\new, ""x""",x\na\\"b,y\n')[0]["text"] == 'C:\\new, "x"'
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", ['text,label\n"a" ,x\n', 'text,label\r\na,"x"  \r\n', 'text,label\n"a"  ,"x"'])
def test_a_blank_behind_a_quote_is_named(rows, content):
    with pytest.raises(DataError) as caught:
        rows(content)
    assert (
        str(caught.value) == "a.csv, line 2: a blank stands after a closing double quote; end the value with its quote"
    )
