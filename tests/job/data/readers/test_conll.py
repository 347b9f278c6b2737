"""Sentences in CoNLL columns: where they begin and end, what is a token, and the line of every fault."""

import gzip
import os
from collections import Counter
from pathlib import Path

import pytest

from tunewright.job.data.readers.conll import positions_of
from tunewright.job.data.readers.formats import READERS, format_of, read_rows, unit_of
from tunewright.job.data.readers.reader import Layout, Row
from tunewright.job.errors import DataError, SettingsError

DATA = os.environ.get("TUNEWRIGHT_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TUNEWRIGHT_DATA does not name a folder of real data sets")

TWO = "EU\tB-ORG\nrejects\tO\n\nBlackburn\tB-PER\n"
UNIVERSAL = """# sent_id = 1
# text = # don't
1\t#\t#\tSYM\tNFP\t_\t0\troot\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t1\taux\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_

1\tNew York\tNew York\tPROPN\tNNP\t_\t0\troot\t_\t_
"""


@pytest.fixture
def read(write):
    """read(text, delimiter=" ") gives the rows of a CoNLL file."""

    def make(text, kind="conll", **layout):
        path = write(f"a.{kind}", text.encode())
        return list(read_rows(path, path.name, Layout(kind, **layout)))

    return make


def sentence(line, tokens, tags):
    return Row(line, {"tokens": tokens, "tags": tags})


SENTENCES = [sentence(1, ["EU", "rejects"], ["B-ORG", "O"]), sentence(4, ["Blackburn"], ["B-PER"])]


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        (TWO, {}),
        (TWO, {"delimiter": "\t"}),
        (TWO.replace("\t", " "), {}),
        (TWO.replace("\t", " "), {"delimiter": " "}),
        (TWO.replace("\t", "   NNP \t "), {}),
        (TWO.replace("\t", "\t_\t"), {"delimiter": "\t"}),
        (TWO.replace("\n\n", "\n\t \n"), {}),
        (TWO.replace("\n", "\r\n"), {}),
        ("\ufeff" + TWO + "\n\n\n", {}),
        (TWO.removesuffix("\n"), {"delimiter": "\t"}),
        (TWO.replace("\n\n", "\n-DOCSTART-\tO\n"), {}),
        (TWO.replace("\n\n", "\n-DOCSTART- (2\tx) -X-\n"), {"delimiter": "\t"}),
    ],
)
def test_a_row_is_a_sentence_with_its_first_and_last_column(read, text, layout):
    assert read(text, **layout) == SENTENCES


def test_it_is_read_from_gzip_too(write):
    path = write("a.conll.gz", gzip.compress(TWO.encode()))
    assert list(read_rows(path, path.name, Layout("conll"))) == SENTENCES


@pytest.mark.parametrize("text", ["", "\n\n", "-DOCSTART- -X- -X- O\n\n"])
def test_without_tokens_there_are_no_rows(read, text):
    assert read(text) == []


@pytest.mark.parametrize("name", ["a.conll", "a.BIO", "a.iob2.gz", "a.iob"])
def test_the_usual_names_tell_the_format(name):
    assert format_of(name) == "conll"
    assert format_of("a.conllu.gz") == "conllu"
    assert unit_of("a.conll", Layout("conll")) == "line"


@pytest.mark.parametrize(
    ("positions", "values"),
    [
        ({"1": 1, "3": 3}, {"1": ["EU"], "3": ["B-ORG"]}),
        ({"-3": -3, "tags": -1}, {"-3": ["EU"], "tags": ["B-ORG"]}),
    ],
)
def test_any_two_columns_can_be_read(read, positions, values):
    assert read("7 EU NNP B-ORG\n", positions=positions) == [Row(1, values)]


@pytest.mark.parametrize(
    ("columns", "kind", "positions"),
    [
        ({}, "conll", {"tokens": 0, "tags": -1}),
        ({}, "conllu", {"tokens": 1, "tags": 3}),
        ({"tokens": 1, "tags": "-2"}, "conll", {"1": 1, "-2": -2}),
        ({"tokens": 1}, "conll", {"1": 1, "tags": -1}),
        ({"tokens": "form", "tags": "XPOS"}, "conllu", {"form": 1, "XPOS": 4}),
    ],
)
def test_the_settings_name_columns_by_position(columns, kind, positions):
    assert positions_of(columns, READERS[kind]) == positions


@pytest.mark.parametrize(
    ("column", "kind", "said"),
    [
        ("word", "conll", "conll; expected a position from 0, or from the end as -1"),
        (
            "word",
            "conllu",
            "conllu; expected a position from 0, or from the end as -1, "
            "or one of id, form, lemma, upos, xpos, feats, head, deprel, deps, misc",
        ),
    ],
)
def test_a_column_that_is_no_position_is_refused(column, kind, said):
    with pytest.raises(SettingsError) as caught:
        positions_of({"tokens": column}, READERS[kind])
    assert str(caught.value) == f"data.columns names 'word', which is no column of {said}"


def test_a_hash_can_be_a_token(read):
    assert read("a\tO\n#\tB-X\n#tag\tI-X\n") == [sentence(1, ["a", "#", "#tag"], ["O", "B-X", "I-X"])]
    assert read("# O\nb O\n", comment="") == [sentence(1, ["#", "b"], ["O", "O"])]
    assert read("b O\n# O\n") == [sentence(1, ["b", "#"], ["O", "O"])]


def test_comments_are_skipped_on_request(read):
    text = "# id 1 domain=en\nits _ _ O\n\n# id 2 domain=en\n# _ _ B\n"
    assert read(text, comment="# id") == [sentence(2, ["its"], ["O"]), sentence(5, ["#"], ["B"])]


def test_what_may_be_a_comment_or_a_token_is_not_guessed(read):
    with pytest.raises(DataError) as caught:
        read("\n# id 1 domain=en\nits _ _ O\n")
    assert str(caught.value) == (
        "a.conll, line 2: '# id 1 domain=en' may be a comment or the token '#'; "
        "set data.comment to '# ' if it is a comment, or to '' if it is a token"
    )


def test_a_space_that_is_no_ascii_does_not_separate(read):
    assert read("1\u00a0000 B-NUM\n") == [sentence(1, ["1\u00a0000"], ["B-NUM"])]


SPLITTING = "data.delimiter says what separates columns, data.columns which are read, data.comment what is no token"


@pytest.mark.parametrize(
    ("text", "layout", "row"),
    [
        ("a O\nb\n", {}, Row(2, {}, "has 1 column where the columns 0, -1 are read", "'b'", SPLITTING)),
        ("\tO\n", {}, Row(1, {}, "has 1 column where the columns 0, -1 are read", "'\\tO'", SPLITTING)),
        (
            "a O\n",
            {"positions": {"tokens": 0, "tags": 3}},
            Row(1, {}, "has 2 columns where the columns 0, 3 are read", "'a O'", SPLITTING),
        ),
        (
            "a O\n",
            {"positions": {"tokens": -3, "tags": -1}},
            Row(1, {}, "has 2 columns where the columns -3, -1 are read", "'a O'", SPLITTING),
        ),
        (
            "in O\nNew York B-LOC\n",
            {},
            Row(2, {}, "has 3 columns where its sentence began with 2", "'New York B-LOC'", SPLITTING),
        ),
        (
            "a\tO\n\tO\n",
            {"delimiter": "\t"},
            Row(2, {}, "column 'tokens' is empty", "'\\tO'", "give every token all its columns"),
        ),
        (
            "a O\nb O \n",
            {"delimiter": " ", "positions": {"0": 0, "-1": -1}},
            Row(2, {}, "has 3 columns where its sentence began with 2", "'b O '", SPLITTING),
        ),
    ],
)
def test_a_broken_line_is_named(read, text, layout, row):
    assert read(text, **layout) == [row]


def test_a_broken_line_spoils_its_sentence_alone(read):
    rows = read("a O\nb\nc\nd O\n\ne\n\nf O\n")
    assert [(row.line, bool(row.fault)) for row in rows] == [(2, True), (6, True), (8, False)]


def test_a_file_without_blank_lines_is_refused(read):
    with pytest.raises(DataError) as caught:
        read("\n" + "a O\n" * 100_001)
    assert str(caught.value) == (
        "a.conll, line 100002: the sentence that starts in line 2 has over 100,000 tokens; "
        "put a blank line after every sentence"
    )


def test_ranges_and_empty_nodes_of_conllu_are_no_words(read):
    assert read(UNIVERSAL, "conllu") == [
        sentence(3, ["#", "do", "n't"], ["SYM", "AUX", "PART"]),
        sentence(9, ["New York"], ["PROPN"]),
    ]
    assert read(UNIVERSAL, "conllu", positions={"xpos": 4})[0].values == {"xpos": ["NFP", "VBP", "RB"]}


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (
            "1\ta\tDET",
            Row(
                9, {}, "has 3 columns where CoNLL-U has 10, separated by tabs", "'1\\ta\\tDET'",
                "set data.format to conll for other files",
            ),
        ),
        (
            "x\ta\ta\tDET\t_\t_\t_\t_\t_\t_",
            Row(
                9, {}, "does not begin with the id of a word", "'x'",
                "expected a number (1), a range (1-2) or an empty node (1.1)",
            ),
        ),
    ],
)  # fmt: skip
def test_a_broken_line_of_conllu_is_named(read, line, row):
    assert read(UNIVERSAL.replace("1\tNew York\tNew York\tPROPN\tNNP\t_\t0\troot\t_\t_", line), "conllu")[1:] == [row]


@needs_data
@pytest.mark.parametrize(
    ("name", "sentences", "tokens", "entities"),
    [
        ("wnut17train.conll", 3394, 62_730, 1975),
        ("emerging.dev.conll", 1009, 15_733, 836),
        ("emerging.test.annotated", 1287, 23_394, 1079),
    ],
)
@pytest.mark.parametrize("delimiter", [None, "\t"])
def test_all_of_wnut17_is_read(name, sentences, tokens, entities, delimiter):
    rows = list(read_rows(Path(DATA) / "wnut17" / name, name, Layout("conll", delimiter=delimiter)))
    tags = [tag for row in rows for tag in row.values["tags"]]
    assert not any(row.fault for row in rows)
    assert (len(rows), len(tags), sum(tag.startswith("B-") for tag in tags)) == (sentences, tokens, entities)


@needs_data
@pytest.mark.parametrize(
    ("side", "sentences", "words"), [("train", 12_544, 204_577), ("dev", 2001, 25_147), ("test", 2077, 25_094)]
)
def test_all_words_of_a_treebank_are_read(side, sentences, words):
    path = Path(DATA) / "ud_ewt" / f"en_ewt-ud-{side}.conllu"
    rows = list(read_rows(path, path.name, Layout("conllu", positions={"form": 1, "upos": 3, "xpos": 4})))
    assert not any(row.fault for row in rows)
    assert (len(rows), sum(len(row.values["form"]) for row in rows)) == (sentences, words)
    tags = Counter(tag for row in rows for tag in row.values["upos"])
    assert len(tags) == 17
    assert "_" not in tags
