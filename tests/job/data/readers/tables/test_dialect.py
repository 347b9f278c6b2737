"""The separators, quotes and headers of tables that people have."""

import json

import pytest

from tunewright.job.errors import DataError

ONE = [{"text": "a, b", "label": "x"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('text;label\n"a, b";x\n', "';' separates the columns (data.delimiter)"),
        ("text;label\r\na, b;x\r\n", "';' separates the columns (data.delimiter)"),
        ("text\tlabel\na, b\tx\n", "a tab separates the columns (data.delimiter)"),
        ("text|label\na, b|x\n", "'|' separates the columns (data.delimiter)"),
        ("sep=;\ntext;label\na, b;x\n", ""),
        ('"sep=;"\ntext;label\n"a, b";x\n', ""),
        ("sep=\t;\r\ntext\tlabel\r\na, b\tx\r\n", ""),
        ('sep=;\ntext,label\n"a, b",x\n', ""),
        ('"text", "label"\n"a, b", "x"\n', ""),
        ('text; label\na, b; "x"\n', "';' separates the columns (data.delimiter)"),
        ("'text', 'label'\n'a, b', 'x'\n", "single quotes enclose the values (data.quote)"),
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
    assert rows("text^a;label\nb^a;x\n", "text", "a;label", delimiter="^") == [{"text": "b", "a;label": "a;x"}]
    assert rows("'text','label'\n'it''s','x'\n", quote="'") == [{"text": "it's", "label": "x"}]
    assert rows("text,label\n^a, b^,x\n", quote="^") == ONE


@pytest.mark.parametrize("above", ["Reviews of 2024\n", "# made by x, y\n# z\n", "\nReviews\n\n", "a;b;c\n"])
def test_a_title_or_comment_above_the_header_is_left_out_and_said(rows, capsys, above):
    assert rows(f'{above}text,label\n"a, b",x\n') == ONE
    number = above.count("\n") + 1
    told = capsys.readouterr().out
    assert f"a.csv: the header is found in line {number}; what stands above it is left out" in told


def test_rows_above_a_repeated_header_are_no_title(rows, capsys):
    assert rows("good,x\nbad,y\ntext,label\nso,x\n")[0] == {"good": "bad", "x": "y"}
    assert "the header is found" not in capsys.readouterr().out


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


def test_blanks_before_quotes_are_left_out_only_where_the_file_is_written_so(rows):
    assert rows('text, label\n"a, ""b""", "x"\n"c\nd", y\n', quoting=True) == [
        {"text": 'a, "b"', "label": "x"},
        {"text": "c\nd", "label": "y"},
    ]
    # Blanks of a text that begins with one stay.
    assert rows('text,label\n" a",x\n b,"x"\n') == [{"text": " a", "label": "x"}, {"text": " b", "label": "x"}]
    assert rows('text\tlabel\n "a" b\tx\n', name="a.tsv") == [{"text": ' "a" b', "label": "x"}]
    assert rows('text,label\n"he said, ""no""",x\n  b,y\n')[1]["text"] == "  b"


SAID = "a.csv: data.delimiter is {}, which does not give the columns 'text' and 'label'; "


@pytest.mark.parametrize("given", [";", "\t", "|", "x", " "])
@pytest.mark.parametrize("quote", ['"', ""])
def test_a_separator_of_the_settings_that_gives_no_columns_is_told(rows, given, quote):
    content = f"text,label\n{quote}good; yes{quote},{quote}a{quote}\n{quote}bad{quote},b\n"
    with pytest.raises(DataError) as caught:
        rows(content, delimiter=given)
    assert str(caught.value) == SAID.format(repr(given)) + (
        "',' does: set `delimiter: \",\"` under data:, or remove data.delimiter"
    )


def test_it_is_told_where_the_names_are_others_too(rows):
    with pytest.raises(DataError) as caught:
        rows("review,class\ngood,a\nbad,b\n", delimiter=";", roles=("text", "label"))
    assert str(caught.value) == SAID.format("';'") + (
        "',' separates the columns; set `delimiter: \",\"` under data: and say in data.columns which of 'review', "
        "'class' is which, or add `header: false` and `columns: {text: 0, label: 1}` (positions from 0) where the "
        "first line is data already"
    )
    with pytest.raises(
        DataError, match=r"data.delimiter is ';', which does not give the columns '0' and '1'; ',' does"
    ):
        rows("good,a\nbad,b\n", "0", "1", header=False, delimiter=";")


def test_a_separator_of_the_settings_that_gives_columns_is_not_doubted(rows):
    assert rows("review;a,b\ngood;x,y\nbad;x,y\n", delimiter=";") == [
        {"review": "good", "a,b": "x,y"},
        {"review": "bad", "a,b": "x,y"},
    ]
    assert rows("text\na, b\nc, d\n", "text", delimiter=";") == [{"text": "a, b"}, {"text": "c, d"}]


def test_quotes_of_the_settings_that_give_no_columns_are_told(rows):
    content = '"text","label"\n"a, b","x"\n'
    told = "which does not give the columns 'text' and 'label'; what the file itself shows does: remove"
    for settings, said in (
        ({"quote": "'"}, f'a.csv: data.quote is "\'", {told} data.quote'),
        ({"quoting": False}, f"a.csv: data.quoting is False, {told} data.quoting"),
        (
            {"quote": "'", "delimiter": ";"},
            f"a.csv: data.delimiter is ';' and data.quote is \"'\", {told} data.delimiter and data.quote",
        ),
    ):
        with pytest.raises(DataError) as caught:
            rows(content, **settings)
        assert str(caught.value) == said


def test_quotes_around_the_header_of_a_tsv_enclose_all_its_values(rows, capsys):
    assert rows('"text"\t"label"\n"a, b"\t"x"\n', name="a.tsv") == ONE
    assert "a.tsv: double quotes enclose the values (data.quoting)" in capsys.readouterr().out


def test_that_quotes_are_text_is_believed(rows):
    assert rows('text;label\n"a;x\n', quoting=False) == [{"text": '"a', "label": "x"}]


def test_single_quotes_are_found_where_some_have_a_backslash_before_them(rows):
    assert rows("'text','label'\n'it\\'s, so','x'\n") == [{"text": "it's, so", "label": "x"}]
