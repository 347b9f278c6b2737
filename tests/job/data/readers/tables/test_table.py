"""Tables as people have them: headers, columns, rows."""

import pytest

ONE = [{"text": "a, b", "label": "x"}]


def test_nameless_and_double_columns_that_nobody_uses_are_read(rows):
    assert rows("text,label,,\na,x,1,2\n") == [{"text": "a", "label": "x"}]
    assert rows("note,text,label,note\n1,a,x,2\n") == [{"text": "a", "label": "x"}]


def test_quotes_that_pandas_writes_into_a_tsv_are_pointed_out(rows, capsys):
    content = 'text\tlabel\n"He said ""x"""\ta\nplain\tb\n'
    assert rows(content, name="a.tsv")[0]["text"] == '"He said ""x"""'
    assert "a.tsv: 1 row has a value in double quotes, which are kept as text; set data.quoting to true" in (
        capsys.readouterr().out
    )
    assert rows(content, name="a.tsv", quoting=True)[0]["text"] == 'He said "x"'
    rows('text\tlabel\n"He said \\\\"x\\\\""\ta\n'.replace("\\\\", "\\"), name="a.tsv")
    assert "1 row has a value in double quotes" in capsys.readouterr().out


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
