"""Tables as people have them: separators, quotes, headers, and what is said of each."""

import json

import pytest

from tunewright.job.data.readers.formats import read_rows
from tunewright.job.data.readers.row import Layout
from tunewright.job.errors import DataError


@pytest.fixture
def rows(write):
    """rows(content, "text", "label", ...): the values of each row, and what is wrong with it."""

    def read(content, *wanted, name="a.csv", **layout):
        path = write(name, content if isinstance(content, bytes) else content.encode())
        layout = {"format": name.rpartition(".")[2], "quoting": name.endswith("csv"), **layout}
        return [
            row.fault or row.values
            for row in read_rows(path, name, Layout(wanted=wanted or ("text", "label"), **layout))
        ]

    return read


ONE = [{"text": "a, b", "label": "x"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('text;label\n"a, b";x\n', "';' separates the columns (data.delimiter)"),
        ("text;label\r\na, b;x\r\n", "';' separates the columns (data.delimiter)"),
        ("text\tlabel\na, b\tx\n", "a tab separates the columns (data.delimiter)"),
        ("text|label\na, b|x\n", "'|' separates the columns (data.delimiter)"),
        ("sep=;\ntext;label\na, b;x\n", ""),
        ("\ufeffsep=|\r\ntext|label\r\na, b|x\r\n", ""),
        ("'text';'label'\n'a, b';'x'\n", "';' separates the columns (data.delimiter) and single quotes enclose"),
        ("'text','label'\n'a, b','x'\n", "single quotes enclose the values (data.quote)"),
    ],
)
def test_the_dialect_is_found_where_only_one_gives_the_columns(rows, capsys, content, said):
    assert rows(content) == ONE
    assert said in capsys.readouterr().out


def test_a_tsv_of_commas_and_a_csv_of_the_usual_kind_are_read(rows, capsys):
    assert rows("text,label\na,x\n", name="a.tsv") == [{"text": "a", "label": "x"}]
    assert "',' separates the columns" in capsys.readouterr().out
    # A header in which other separators stand, too.
    assert rows('text,label,"a;b|c"\nx;y,z,1\n') == [{"text": "x;y", "label": "z", "a;b|c": "1"}]
    assert capsys.readouterr().out == ""


def test_positions_find_the_separator_too(rows, capsys):
    assert rows("good, fine;pos\nbad;neg\n", "0", "1", header=False) == [
        {"0": "good, fine", "1": "pos"},
        {"0": "bad", "1": "neg"},
    ]
    assert "';' separates the columns" in capsys.readouterr().out


def test_what_the_settings_say_is_not_guessed_at(rows):
    assert rows("text;label\na;x\n", delimiter=",") == [{"text;label": "a;x"}]
    assert rows("'text','label'\n'it''s','x'\n", quote="'") == [{"text": "it's", "label": "x"}]
    assert rows("text,label\n^a, b^,x\n", quote="^") == ONE


def test_nameless_and_double_columns_that_nobody_uses_are_read(rows):
    assert rows("text,label,,\na,x,1,2\n") == [{"text": "a", "label": "x"}]
    assert rows("note,text,label,note\n1,a,x,2\n") == [{"text": "a", "label": "x"}]


def test_a_used_column_that_is_named_twice_is_refused(rows):
    with pytest.raises(DataError) as caught:
        rows("text,label,text\na,x,b\n")
    assert str(caught.value) == (
        "a.csv: the header names 'text' more than once (text, label, text); rename one of them"
    )


@pytest.mark.parametrize("again", ["text,label", " text , label ", '"text","label"'])
def test_a_header_in_the_middle_is_left_out_and_counted(rows, capsys, again):
    assert len(rows(f"text,label\na,x\n{again}\nb,y\n{again}\n")) == 2
    assert "a.csv: 2 rows repeat the header and are left out" in capsys.readouterr().out


def test_one_repeated_header_is_told_in_the_singular(rows, capsys):
    rows("text,label\na,x\ntext,label\n")
    assert "a.csv: 1 row repeats the header and is left out" in capsys.readouterr().out


def test_a_row_that_only_resembles_the_header_stays(rows):
    assert len(rows("text,label\ntext,x\nb,label\n")) == 2
    assert len(rows("text,label\ntext,label\n", "0", "1", header=False)) == 2


def test_quotes_that_pandas_writes_into_a_tsv_are_pointed_out(rows, capsys):
    content = 'text\tlabel\n"He said ""x"""\ta\nplain\tb\n'
    assert rows(content, name="a.tsv")[0]["text"] == '"He said ""x"""'
    assert "a.tsv: 1 row has a value in double quotes, which are kept as text; set data.quoting to true" in (
        capsys.readouterr().out
    )
    assert rows(content, name="a.tsv", quoting=True)[0]["text"] == 'He said "x"'


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


@pytest.mark.parametrize("above", ["Reviews of 2024\n", "# made by x, y\n# z\n", "\nReviews\n\n", "a;b;c\n"])
def test_a_title_or_comment_above_the_header_is_left_out_and_said(rows, capsys, above):
    assert rows(f'{above}text,label\n"a, b",x\n') == ONE
    number = above.count("\n") + 1
    told = capsys.readouterr().out
    assert f"a.csv: the header is found in line {number}; what stands above it is left out" in told


def test_rows_above_a_repeated_header_are_no_title(rows, capsys):
    assert rows("good,x\nbad,y\ntext,label\nso,x\n")[0] == {"good": "bad", "x": "y"}
    assert "the header is found" not in capsys.readouterr().out


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


@pytest.mark.parametrize("delimiter", ["^", "~", "@", ":", " ", "\x01"])
def test_rarer_separators_are_found_where_every_line_has_the_columns(rows, capsys, delimiter):
    assert rows(f'text{delimiter}label\n"a, b"{delimiter}x\n') == ONE
    assert "separates the columns (data.delimiter)" in capsys.readouterr().out


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "^", "~", "@", ":", " "])
@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize("head", ["Satz{}Urteil\n", ""])
def test_a_separator_without_the_wanted_names_is_told_and_not_the_quotes(rows, delimiter, quote, head):
    if delimiter == " " and not quote:
        return
    texts = ["Gut, ja", "Schlecht", "Na ja, so, so"]
    content = head.format(delimiter) + "".join(f"{quote}{one}{quote}{delimiter}x\n" for one in texts)
    with pytest.raises(DataError) as caught:
        rows(content)
    said = str(caught.value)
    name = {"\t": "a tab", " ": "a blank"}.get(delimiter, repr(delimiter))
    assert said.startswith(
        f"a.csv: {name} separates the columns; add `delimiter: {json.dumps(delimiter)}` under data: "
    )
    if head:
        assert "and say in data.columns which of 'Satz', 'Urteil' is which" in said
        assert [row["Satz"] for row in rows(content, "Satz", "Urteil", delimiter=delimiter)] == texts
    else:
        assert "or add `header: false` and `columns: {text: 0, label: 1}` (positions from 0)" in said
        assert [row["0"] for row in rows(content, "0", "1", header=False, delimiter=delimiter)] == texts
        if delimiter in ";\t|":
            assert [row["0"] for row in rows(content, "0", "1", header=False)] == texts


def test_a_header_of_one_megabyte_is_looked_at_in_no_time(rows):
    wide = ",".join(f"c{number}" for number in range(4000))
    assert len(rows(f"{wide}\n" + f"{wide}\n" * 30)) == 0
